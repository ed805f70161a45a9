"""Every shipped configuration says what it is, parses, and builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule
from tokenizers import Tokenizer

import zoo.variants  # noqa: F401
from zoo.cli.listing import config_root
from zoo.cli.parser import ConfigParser
from zoo.data import TextDataModule
from zoo.data.tokenizers import WordLevel
from zoo.objectives.objective import Objective

ROOT = config_root()
FILES = sorted(ROOT.rglob("*.yaml"))
# what a file that holds a part only is layered on
BASES = {
    "base": ["recipes/masked_lm_small.yaml"],
    "quickstart/full.yaml": ["quickstart/pretrain.yaml"],
    "quickstart/tied.yaml": ["quickstart/pretrain.yaml"],
    "quickstart/gelu.yaml": ["quickstart/pretrain.yaml"],
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layers(name: str) -> list[Path]:
    below = BASES.get(name) or BASES.get(name.partition("/")[0], [])
    return [ROOT / base for base in below] + [ROOT / name]


def build(files: list[Path]) -> Any:
    """Objective and data of layered files, as the training commands build them."""
    parser = ConfigParser(exit_on_error=False)
    parser.add_argument("-c", "--config", action="config")
    parser.add_argument("--seed_everything", type=int)
    parser.add_argument("--trainer", type=dict[str, Any])
    parser.add_subclass_arguments(LightningModule, "model")
    parser.add_subclass_arguments(LightningDataModule, "data")
    words = [word for file in files for word in ("--config", str(file))]
    return parser.instantiate(parser.parse_args(words))


@pytest.fixture(scope="module")
def thousand_words() -> Tokenizer:
    """A vocabulary large enough for rows of their own."""
    return WordLevel().build([" ".join(f"w{i}" for i in range(1000))])


def test_there_are_some() -> None:
    assert {name_of(f).partition("/")[0] for f in FILES} >= {"base", "recipes", "quickstart", "paper"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_has_a_header(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith("# ")
    assert len(first) > 20


@pytest.mark.parametrize("path", [f for f in FILES if name_of(f).startswith("paper/")], ids=name_of)
def test_a_paper_s_header_says_what_to_expect(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = " ".join(line for line in lines if line.startswith("#"))
    for word in ("arXiv", "Expected", "Hardware", "Differs"):
        assert word in header, word


@pytest.mark.parametrize("path", [f for f in FILES if name_of(f).startswith("recipes/")], ids=name_of)
def test_a_recipe_fixes_seed_and_length(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["seed_everything"] is not True
    assert content["trainer"]["max_steps"] > 0


@pytest.mark.parametrize(
    "files",
    [
        *(pytest.param(layers(name_of(f)), id=name_of(f)) for f in FILES if name_of(f).partition("/")[0] != "bench"),
        *(
            pytest.param([ROOT / "quickstart/finetune.yaml", ROOT / f"quickstart/{v}.yaml"], id=f"finetune-{v}")
            for v in ("full", "tied", "gelu")
        ),
    ],
)
def test_builds(files: list[Path], thousand_words: Tokenizer) -> None:
    built = build(files)
    assert isinstance(built.model, Objective)
    assert isinstance(built.data, TextDataModule)
    assert isinstance(built.model.view, built.data.views)
    large = files[-1].is_relative_to(ROOT / "paper")
    with torch.device("meta" if large else "cpu"):  # billions of numbers need not be drawn
        built.model.build(thousand_words, built.data.max_length)
    assert sum(p.numel() for p in built.model.parameters()) > 0
