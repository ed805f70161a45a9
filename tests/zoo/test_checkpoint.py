from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo import checkpoint
from zoo.contracts import PackedBatch
from zoo.objectives.language_model import LanguageModel
from zoo.objectives.objective import Objective

MODEL = {
    "class_path": "MaskedLM",
    "init_args": {
        "width": 16,
        "embedding": "TiedEmbedding",
        "encoder": {"class_path": "DenseEncoder", "init_args": {"num_layers": 1, "num_heads": 2}},
    },
}


@pytest.fixture
def trained(tokenizer: Tokenizer) -> Objective:
    torch.manual_seed(0)
    objective = checkpoint.instantiate(MODEL)
    objective.build(Tokenizer.from_str(tokenizer.to_str()), 32)  # of its own: some tests change it
    objective.resolved_config = MODEL
    objective.run_facts = {"data": "Toy", "steps": 3}
    return objective.eval()


def save(objective: Objective, path: Path) -> Path:
    content: dict[str, Any] = {"state_dict": objective.state_dict()}
    objective.on_save_checkpoint(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_comes_back_as_it_was(trained: Objective, tmp_path: Path, make_batch: Callable[..., PackedBatch]) -> None:
    save(trained, tmp_path / "checkpoints" / "last.ckpt")
    loaded = checkpoint.load(tmp_path)
    assert isinstance(trained, LanguageModel)
    assert isinstance(loaded, LanguageModel)
    batch = make_batch([5, 9])
    assert torch.equal(loaded.token_losses(batch, 0).nll, trained.token_losses(batch, 0).nll)
    assert checkpoint.parts(loaded) == checkpoint.parts(trained)
    assert checkpoint.describe(loaded) == checkpoint.describe(trained)
    assert not loaded.training
    assert loaded.max_length == 32


def test_parts_see_weights_and_tokenizer_apart(trained: Objective) -> None:
    before = checkpoint.parts(trained)
    assert before == checkpoint.parts(trained)
    with torch.no_grad():
        next(trained.encoder.parameters()).flatten()[0] += 1e-3
    changed = checkpoint.parts(trained)
    assert changed["weights"] != before["weights"]
    assert changed["tokenizer"] == before["tokenizer"]
    trained.tokenizer.add_tokens(["new"])
    assert checkpoint.parts(trained)["tokenizer"] != before["tokenizer"]


def test_parts_do_not_see_how_long_training_took(trained: Objective) -> None:
    before = checkpoint.parts(trained)
    trained._tokens_seen += 5
    assert before == checkpoint.parts(trained)


def test_description_counts_every_parameter_once(trained: Objective) -> None:
    found = checkpoint.describe(trained)
    counts = found["parameters"]
    assert counts["total"] == counts["embedding"] + counts["encoder"] + counts["head"]
    assert counts["total"] == sum(p.numel() for p in trained.parameters())
    assert counts["embedding"] == 65 * 16
    assert counts["head"] == 65  # its bias: the table is the embedding's
    assert found["bytes"] == 4 * counts["total"]
    assert found["axes"]["objective"] == "MaskedLM"
    assert found["axes"]["embedding"] == "TiedEmbedding"
    assert found["axes"]["data"] == "Toy"
    assert found["training"] == {"data": "Toy", "steps": 3, "tokens_seen": 0}


def test_without_a_configuration_it_says_what_to_do(trained: Objective, tmp_path: Path) -> None:
    trained.resolved_config = None
    path = save(trained, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="saved from Python and names no classes: build the same MaskedLM yourself"):
        checkpoint.load(path)


def test_another_class_or_tokenizer_is_refused(trained: Objective, tmp_path: Path) -> None:
    content = torch.load(save(trained, tmp_path / "a.ckpt"), weights_only=True)
    trained.on_load_checkpoint(content)
    other = checkpoint.instantiate(MODEL | {"class_path": "CausalLM"})
    with pytest.raises(ValueError, match="the checkpoint holds MaskedLM, the config asks for CausalLM"):
        other.on_load_checkpoint(content)
    with pytest.raises(ValueError, match="the checkpoint holds no objective of this project"):
        other.on_load_checkpoint({})
    trained.tokenizer.add_tokens(["new"])
    with pytest.raises(ValueError, match="trained with another tokenizer than the data module has"):
        trained.on_load_checkpoint(content)
