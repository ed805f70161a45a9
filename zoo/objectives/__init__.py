"""Objectives: what is trained, as LightningModules that put the axes together."""

from zoo.objectives.bag_of_words import BagOfWords
from zoo.objectives.causal_lm import CausalLM
from zoo.objectives.contrastive import Contrastive
from zoo.objectives.distillation import Distillation
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.masked_lm import MaskedLM
from zoo.objectives.matryoshka import Matryoshka

__all__ = ["BagOfWords", "CausalLM", "Contrastive", "Distillation", "InfoNCE", "MaskedLM", "Matryoshka"]
