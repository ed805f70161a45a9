"""Imports every variant, so that short class names mean something to the configuration parser."""

# ruff: noqa: F401, F403  (imported for the names alone)

import zoo.data
import zoo.embeddings
import zoo.embeddings.codes
import zoo.encoders
import zoo.heads.sparse_target
import zoo.layers.feed_forward
import zoo.layers.learned_positions
import zoo.layers.local_rotary_positions
import zoo.layers.moe
import zoo.layers.rotary_positions
import zoo.objectives
import zoo.optim
from zoo.heads import *

__all__: list[str] = []
