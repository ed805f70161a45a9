"""Finds every variant of every contract by walking the package: nothing lists them."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest
from torch.optim import Optimizer

import zoo
from zoo.contracts import Encoder, OutputHead, OutputTable, TokenEmbedding
from zoo.data import TextDataModule, TokenizerSource
from zoo.embeddings.codes.code_assignment import CodeAssignment
from zoo.layers.feed_forward import FeedForward
from zoo.layers.moe.balance import Balance
from zoo.layers.positions import Positions
from zoo.objectives.objective import Objective
from zoo.objectives.pair_loss import PairLoss
from zoo.optim.schedule import Schedule

CONTRACTS: dict[str, type] = {
    "embedding_class": TokenEmbedding,
    "any_table_class": OutputTable,
    "codes_class": CodeAssignment,
    "encoder_class": Encoder,
    "balance_class": Balance,
    "head_class": OutputHead,
    "feed_forward_class": FeedForward,
    "positions_class": Positions,
    "schedule_class": Schedule,
    "optimizer_class": Optimizer,
    "objective_class": Objective,
    "data_class": TextDataModule,
    "tokenizer_class": TokenizerSource,
    "loss_class": PairLoss,
}


def variants(contract: type) -> list[type]:
    """Concrete public subclasses of `contract`, and itself where it is one."""
    for module in pkgutil.walk_packages(zoo.__path__, "zoo."):
        import_module(module.name)
    found: set[type] = set()
    waiting = [contract]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("zoo.") and not inspect.isabstract(one) and not one.__name__.startswith("_"):
            found.add(one)
    return sorted(found, key=lambda c: c.__name__)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, contract in CONTRACTS.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, variants(contract), ids=lambda c: c.__name__)
    if "variant_class" in metafunc.fixturenames:
        everything = sorted(
            {c for contract in CONTRACTS.values() for c in variants(contract)}, key=lambda c: c.__name__
        )
        metafunc.parametrize("variant_class", everything, ids=lambda c: c.__name__)


@pytest.fixture(scope="session")
def all_variants() -> dict[str, list[type]]:
    """Variants by the name of their contract's fixture."""
    return {name: variants(contract) for name, contract in CONTRACTS.items()}
