"""Subspace tables whose codes come from a trained model, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from zoo import checkpoint
from zoo.embeddings import SubspaceEmbedding
from zoo.embeddings.codes.code_assignment import by_frequency
from zoo.layers.subspace_table import SubspaceTable

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]


@pytest.mark.parametrize("codes", ["ClusterCodes", "PQCodes"])
def test_codes_of_a_trained_model(
    codes: str, zoo: Zoo, tiny_arguments: Arguments, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = ["--trainer.max_steps", "3"]
    donor = ["--model.embedding", "TiedEmbedding", "--run_dir", "donor"]
    assert zoo("fit", *tiny_arguments("MaskedLM"), *steps, *donor) == 0
    options = ["--model.embedding", "SubspaceEmbedding", "--model.embedding.tied", "true"]
    options += ["--model.embedding.own_rows", "12", "--model.embedding.codes", codes]
    options += ["--model.embedding.codes.model", "donor", "--run_dir", "run", "--model.optimizer", "CoupledAdamW"]
    with pytest.warns(UserWarning, match="does not keep the mean"):  # own rows void the promise
        assert zoo("fit", *tiny_arguments("MaskedLM"), *steps, *options) == 0
    assert json.loads(Path("run/provenance.json").read_text())["embedding"]["rank_bound"] > 0
    assert "zoo: SubspaceEmbedding: parameters " in capfd.readouterr().err
    shutil.rmtree("donor")
    found = checkpoint.load("run")
    assert isinstance(found.embedding, SubspaceEmbedding)
    table = found.embedding.table
    assert table._spells_all == (codes == "ClusterCodes")
    assert found.token_counts is not None
    assert torch.equal(table.places.argsort(), by_frequency(found.vocabulary, found.token_counts))
    assert zoo("validate", "--run_dir", "run") == 0
    options += ["--ckpt_path", "last", "--trainer.max_steps", "5"]
    with pytest.warns(UserWarning, match="does not keep the mean"):
        assert zoo("fit", *tiny_arguments("MaskedLM"), *options) == 0, "resumed, without the model of its codes"


def test_a_model_of_another_vocabulary_is_refused(
    zoo: Zoo, tiny_arguments: Arguments, corpus_files: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    donor = [*tiny_arguments("MaskedLM"), "--trainer.max_steps", "1", "--run_dir", "donor"]
    assert zoo("fit", *donor, "--data.tokenizer.vocab_size", "30") == 0
    options = ["--model.embedding", "SubspaceEmbedding", "--model.embedding.codes", "ClusterCodes"]
    options += ["--model.embedding.codes.model", "donor", "--run_dir", "run"]
    assert zoo("fit", *tiny_arguments("MaskedLM"), "--trainer.max_steps", "1", *options) == 1
    assert "another tokenizer: set data.tokenizer to PretrainedTokenizer" in capfd.readouterr().err
    assert not Path("run/checkpoints").exists()


@pytest.mark.parametrize("tied", ["false", "true"])
def test_codes_found_in_training(tied: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = [*tiny_arguments("MaskedLM"), "--model.embedding", "SubspaceEmbedding", "--model.embedding.tied", tied]
    options += ["--model.embedding.own_rows", "12", "--model.embedding.codes", "ReclusterCodes"]
    options += ["--model.embedding.codes.at", "[0.3, 0.6]", "--trainer.max_steps", "10"]
    assert zoo("fit", *options, "--run_dir", "run") == 0
    state = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert int(state["embedding.table.clusterings"]) == 2
    assert not state["embedding.table.helps"]
    assert not state["embedding.table.helpers"].any()
    assert not torch.equal(state["embedding.table.codes"], SubspaceTable(60, 32, own_rows=12).codes)
    assert zoo("validate", "--run_dir", "run") == 0


@pytest.mark.parametrize("started", ["false", "true"])
def test_a_tied_softmax_that_knows_no_frequencies_is_told_of(started: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = [*tiny_arguments("MaskedLM"), "--model.embedding", "SubspaceEmbedding", "--model.embedding.tied", "true"]
    options += ["--model.embedding.codes.order", "random", "--model.head.start_at_frequencies", started]
    told = pytest.warns(UserWarning, match="does not know how frequent tokens are: set model.embedding.own_rows")
    with told if started == "false" else nullcontext():
        assert zoo("fit", *options, "--trainer.max_steps", "1", "--run_dir", "run") == 0
