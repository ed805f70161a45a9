from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo.contracts import PackedBatch, PairBatch, PairView
from zoo.objectives import CausalLM, Contrastive, MaskedLM
from zoo.objectives.objective import Objective
from zoo.weights import take_over

Make = Callable[..., PackedBatch]
Build = Callable[..., Any]


def save(objective: Objective, path: Path) -> None:
    content: dict[str, Any] = {"state_dict": objective.state_dict()}
    objective.on_save_checkpoint(content)
    torch.save(content, path)


def test_embeds_with_the_mean_of_the_hidden_vectors(built: Build, make_batch: Make, assert_close: Any) -> None:
    objective, batch = built(Contrastive), make_batch([3, 5])
    hidden = objective.encode(batch, causal=False).hidden
    expected = torch.stack([part.mean(0) for part in hidden.split([3, 5])])
    assert_close(objective.embed(batch), expected)


def test_prefixes_are_what_it_asks_of_its_data(built: Build) -> None:
    assert built(Contrastive).view == PairView("search_query: ", "search_document: ")
    assert built(Contrastive, prefixes=PairView("q ", "d ")).view == PairView("q ", "d ")


def test_predicts_both_sides(built: Build, make_batch: Make) -> None:
    queries, documents = built(Contrastive).predict_step(PairBatch(make_batch([3, 5]), make_batch([6, 6])), 0)
    assert queries.shape == documents.shape == (2, 16)


@pytest.mark.parametrize("source", [MaskedLM, CausalLM, Contrastive])
def test_takes_over_embedding_and_encoder(source: type[Objective], built: Build, tmp_path: Path) -> None:
    trained, fresh = built(source), built(Contrastive)
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter)
    save(trained, tmp_path / "a.ckpt")
    parts = {"embedding": fresh.embedding, "encoder": fresh.encoder}
    take_over(parts, fresh.tokenizer.to_str(), tmp_path / "a.ckpt")
    for part in parts:
        for name, tensor in getattr(fresh, part).state_dict().items():
            assert torch.equal(tensor, getattr(trained, part).state_dict()[name])


def test_refuses_weights_that_do_not_fit(built: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(built(MaskedLM), tmp_path / "a.ckpt")
    other = built(Contrastive, width=32)
    parts = {"embedding": other.embedding, "encoder": other.encoder}
    with pytest.raises(ValueError, match=r"\[65, 16\] and this model \[65, 32\] at embedding.weight"):
        take_over(parts, tokenizer.to_str(), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"another tokenizer.*PretrainedTokenizer"):
        take_over(parts, "{}", tmp_path / "a.ckpt")
