"""Better pairs with the help of a trained model: hard negatives, and pairs that are not consistent left out."""

from zoo.data.mining.consistency import filter_pairs
from zoo.data.mining.hard_negatives import mine_negatives
from zoo.data.mining.teacher import Teacher

__all__ = ["Teacher", "filter_pairs", "mine_negatives"]
