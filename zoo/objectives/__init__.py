"""Objectives: what is trained, as LightningModules that put the axes together."""

from zoo.objectives.causal_lm import CausalLM
from zoo.objectives.contrastive import Contrastive
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.masked_lm import MaskedLM

__all__ = ["CausalLM", "Contrastive", "InfoNCE", "MaskedLM"]
