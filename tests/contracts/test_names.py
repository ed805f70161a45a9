"""Names and docstrings of the variants: what `zoo list`, `--help` and configurations stand on."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from jsonargparse import ArgumentParser, Namespace
from torch.optim import AdamW, Optimizer

from zoo.cli.listing import scan_variants
from zoo.objectives.objective import Objective

# fixture name of a contract -> place in the model's configuration
PLACES = {
    "embedding_class": "embedding",
    "encoder_class": "encoder",
    "head_class": "head",
    "schedule_class": "schedule",
    "optimizer_class": "optimizer",
}


def parameters(variant: type) -> list[str]:
    return [name for name in inspect.signature(variant).parameters]


def test_docstring_is_complete(variant_class: type) -> None:
    text = inspect.cleandoc(variant_class.__doc__ or "")
    summary, _, rest = text.partition("\n")
    assert summary.endswith((".", ":"))
    assert len(summary) <= 116
    section = re.search(r"^Args:\n((?: .*\n?|\n)+)", rest, re.M)
    documented = re.findall(r"^    (\w+): \S", section[1], re.M) if section else []
    assert documented == parameters(variant_class)


def test_constructor_is_small(variant_class: type) -> None:
    # an optimizer keeps the names and the number of those that it stands in for
    limit = len(parameters(AdamW)) if issubclass(variant_class, Optimizer) else 8
    assert len(parameters(variant_class)) <= limit


def test_name_is_unique(all_variants: dict[str, list[type]]) -> None:
    names = [c.__name__ for classes in all_variants.values() for c in classes]
    assert sorted(names) == sorted(set(names))


def test_short_name_means_this_class(all_variants: dict[str, list[type]]) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Objective, "model")
    for fixture, place in PLACES.items():
        for variant in all_variants[fixture]:
            config = _parse(parser, {place: variant.__name__})
            assert config.init_args[place].class_path == f"{variant.__module__}.{variant.__name__}" or _reexported(
                config.init_args[place].class_path, variant
            )
    for fixture, place in {"feed_forward_class": "feed_forward", "positions_class": "positions"}.items():
        for variant in all_variants[fixture]:
            encoder = {"class_path": "DenseEncoder", "init_args": {place: variant.__name__}}
            config = _parse(parser, {"encoder": encoder})
            assert _reexported(config.init_args.encoder.init_args[place].class_path, variant)
    for variant in all_variants["balance_class"]:
        encoder = {"class_path": "MoEEncoder", "init_args": {"mixture": {"balance": variant.__name__}}}
        config = _parse(parser, {"encoder": encoder})
        assert _reexported(config.init_args.encoder.init_args.mixture.balance.class_path, variant)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adam"])
def test_short_names_of_optimizers_are_those_of_torch(name: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Objective, "model")
    config = _parse(parser, {"optimizer": {"class_path": name, "init_args": {"lr": 0.1}}})
    assert config.init_args.optimizer.class_path == f"torch.optim.{name}"


def _parse(parser: ArgumentParser, init_args: dict[str, Any]) -> Namespace:
    parsed = parser.parse_object({"model": {"class_path": "MaskedLM", "init_args": init_args}})
    model: Namespace = parsed.model
    return model


def _reexported(path: str, variant: type) -> bool:
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name) is variant


def test_listing_shows_what_the_imports_show(all_variants: dict[str, list[type]]) -> None:
    fixtures = {
        "objective": "objective_class",
        "embedding": "embedding_class",
        "codes": "codes_class",
        "encoder": "encoder_class",
        "balance": "balance_class",
        "feed-forward": "feed_forward_class",
        "positions": "positions_class",
        "head": "head_class",
        "optimizer": "optimizer_class",
        "schedule": "schedule_class",
        "data": "data_class",
        "tokenizer": "tokenizer_class",
    }
    listed = scan_variants()
    assert listed.keys() == fixtures.keys()
    for axis, fixture in fixtures.items():
        assert [v.name for v in listed[axis]] == [c.__name__ for c in all_variants[fixture]], axis
