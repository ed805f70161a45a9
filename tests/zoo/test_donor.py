from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from zoo.contracts import Vocabulary
from zoo.data.tokenizers import PretrainedTokenizer, vocabulary_of
from zoo.donor import Donor, TakenOver, is_foreign, read_donor, take_over
from zoo.embeddings import FullEmbedding, SubspaceEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.heads import SoftmaxHead
from zoo.objectives import CausalLM, Contrastive, MaskedLM
from zoo.objectives.objective import Objective

Build = Callable[..., Any]
Subspace = partial(SubspaceEmbedding, own_rows=6)
CODES = {"class_path": "SubspaceEmbedding", "init_args": {"codes": {"class_path": "ClusterCodes"}}}


@pytest.fixture
def built(tokenizer: Tokenizer) -> Build:
    """`built(objective_class, **options)`: with random weights everywhere."""

    def make(objective_class: Callable[..., Objective], **options: object) -> Objective:
        encoder = partial(DenseEncoder, num_layers=1, num_heads=2)
        objective = objective_class(**{"width": 16, "encoder": encoder, **options})
        objective.build(tokenizer, 32)
        for parameter in objective.parameters():
            torch.nn.init.normal_(parameter)
        return objective

    return make


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., TakenOver]:
    """`start(fresh, trained)`: through a checkpoint file."""

    def run(fresh: Objective, trained: Objective) -> TakenOver:
        content: dict[str, Any] = {"state_dict": trained.state_dict()}
        trained.on_save_checkpoint(content)
        torch.save(content, tmp_path / "a.ckpt")
        config = (fresh.resolved_config or {}).get("init_args", {}).get("embedding")
        return take_over(modules(fresh), fresh.vocabulary, read_donor(str(tmp_path / "a.ckpt")), config)

    return run


def modules(objective: Objective) -> dict[str, torch.nn.Module]:
    return {name: getattr(objective, name) for name in ("embedding", "encoder", "head") if hasattr(objective, name)}


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def table(objective: Objective) -> torch.Tensor:
    return next(objective.embedding.parameters())


@pytest.mark.parametrize("source", [MaskedLM, CausalLM, Contrastive])
@pytest.mark.parametrize("target", [MaskedLM, Contrastive])
def test_the_same_parts_are_taken_over(
    source: type[Objective], target: type[Objective], built: Build, start: Callable[..., TakenOver]
) -> None:
    trained, fresh = built(source), built(target)
    found = start(fresh, trained)
    assert same(fresh.embedding, trained.embedding)
    assert same(fresh.encoder, trained.encoder)
    head = () if target is Contrastive else ("head.bias", "head.table")
    assert (*found.taken[2:],) == (() if source is Contrastive else head)
    assert found.new == (head if source is Contrastive else ())
    if head and source is not Contrastive:
        assert same(fresh.head, trained.head)


@pytest.mark.parametrize("pair", [(FullEmbedding, TiedEmbedding), (TiedEmbedding, FullEmbedding)])
def test_a_full_table_takes_the_rows_of_another(pair: Any, built: Build, start: Callable[..., TakenOver]) -> None:
    trained, fresh = built(MaskedLM, embedding=pair[0]), built(MaskedLM, embedding=pair[1])
    found = start(fresh, trained)
    assert torch.equal(table(fresh), table(trained))
    assert "embedding" in found.taken
    assert torch.equal(fresh.head.bias, trained.head.bias)
    if pair[0] is TiedEmbedding:
        assert torch.equal(fresh.head.table.matrix, trained.head.table.matrix)
    else:
        assert fresh.head.table is fresh.embedding.table, "what is shared keeps the rows of the input side"


def test_short_tables_start_anew(built: Build, start: Callable[..., TakenOver]) -> None:
    trained, fresh = built(MaskedLM), built(MaskedLM, embedding=Subspace)
    before = table(fresh).clone()
    found = start(fresh, trained)
    assert found == TakenOver(("encoder", "head.bias", "head.table"), ("embedding",))
    assert torch.equal(table(fresh), before)


def test_short_tables_of_one_row_a_token_are_no_full_table(built: Build, start: Callable[..., TakenOver]) -> None:
    trained = built(MaskedLM, embedding=partial(SubspaceEmbedding, num_tables=1, tied=True))
    fresh = built(MaskedLM, embedding=TiedEmbedding)
    assert start(fresh, trained).new == ("embedding",)


@pytest.mark.parametrize("codes", ["ClusterCodes", "PQCodes", None])
def test_short_tables_come_with_their_codes(codes: str | None, built: Build, start: Callable[..., TakenOver]) -> None:
    trained, fresh = built(MaskedLM, embedding=Subspace), built(MaskedLM, embedding=Subspace)
    trained.embedding.table.assign(torch.randperm(65))
    trained.resolved_config = {"init_args": {"embedding": CODES}}
    other = {"class_path": "zoo.SubspaceEmbedding", "init_args": {"codes": {"class_path": codes}}}
    fresh.resolved_config = None if codes is None else {"init_args": {"embedding": other}}
    found = start(fresh, trained)
    assert ("embedding" in found.taken) == same(fresh.embedding, trained.embedding) == (codes != "PQCodes")


def test_weights_that_do_not_fit_are_refused(built: Build, start: Callable[..., TakenOver]) -> None:
    with pytest.raises(ValueError, match=r"\[65, 16\] and this model \[65, 32\] at embedding.weight"):
        start(built(Contrastive, width=32), built(MaskedLM))
    with pytest.raises(ValueError, match=r"nothing and this model .* at encoder\..*give model.encoder"):
        start(built(Contrastive, encoder=partial(DenseEncoder, num_layers=2, num_heads=2)), built(MaskedLM))


def test_another_tokenizer_is_refused(built: Build) -> None:
    fresh = built(MaskedLM)
    with pytest.raises(ValueError, match=r"another tokenizer.*PretrainedTokenizer with name_or_path runs/a"):
        take_over(modules(fresh), fresh.vocabulary, Donor("runs/a", "", "{}", {}))


def test_a_published_tokenizer_is_known_by_what_it_gives(tokenizer: Tokenizer, tmp_path: Path) -> None:
    published = Tokenizer.from_str(tokenizer.to_str())
    published.enable_truncation(8)
    published.enable_padding()
    published.save(str(tmp_path / "tokenizer.json"))
    vocabulary = vocabulary_of(PretrainedTokenizer(str(tmp_path)).build([]))
    text = (tmp_path / "tokenizer.json").read_text()
    assert Donor("a", "", text, {}, foreign=True).knows(vocabulary)
    assert not Donor("a", "", text, {}).knows(vocabulary)
    content = json.loads(text)
    content["model"]["vocab"]["ba"], content["model"]["vocab"]["be"] = 6, 5
    assert not Donor("a", "", json.dumps(content), {}, foreign=True).knows(vocabulary)
    small = Vocabulary(5, 0, 1, 900, 901, 4)
    assert not Donor("a", "", text, {}, foreign=True).knows(small)


def test_what_a_path_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").touch()
    names = ["bert", "owner/name", "runs", "runs/base", "base", "/owner/name", "a/b/c", "owner/x.ckpt"]
    assert [is_foreign(name) for name in names] == [True, True, *[False] * 6]


def test_heads_of_other_sizes_start_anew(built: Build, start: Callable[..., TakenOver]) -> None:
    plain = partial(SoftmaxHead, bias=False)
    assert start(built(MaskedLM), built(MaskedLM, head=plain)).new == ("head.bias",)


def test_rows_of_length_one_are_given_as_they_were_used(built: Build, start: Callable[..., TakenOver]) -> None:
    unit = {"class_path": "FullEmbedding", "init_args": {"unit_rows": True}}
    trained = built(MaskedLM, embedding=partial(FullEmbedding, unit_rows=True))
    trained.resolved_config = {"class_path": "MaskedLM", "init_args": {"embedding": unit}}
    fresh = built(MaskedLM, embedding=TiedEmbedding)
    fresh.resolved_config = {"class_path": "MaskedLM", "init_args": {"embedding": {"class_path": "TiedEmbedding"}}}
    start(fresh, trained)
    ids = torch.arange(fresh.vocabulary.size)
    assert torch.equal(fresh.embedding(ids), trained.embedding(ids))
