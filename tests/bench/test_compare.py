from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands import compare as command
from bench.compare import UnfairError, compare, compare_axis, mean_difference
from bench.examples import Examples
from bench.records import Axes, ExamplesFile, Record, Scores, examples_path, path_of, revision_of, write

Write = Callable[..., Record]
HARD = np.linspace(0, 1, 200)


def config(embedding: str = "Full", lr: float = 0.001, seed: int = 0) -> dict[str, Any]:
    optimizer = {"class_path": "AdamW", "init_args": {"lr": lr}}
    arguments = {"embedding": {"class_path": embedding, "init_args": {"size": len(embedding)}}, "optimizer": optimizer}
    return {"seed_everything": seed, "model": {"class_path": "MaskedLM", "init_args": arguments}, "data": {"n": 1}}


@pytest.fixture
def scored(tmp_path: Path, record: Record) -> Write:
    """Writes a record with values of single queries: as hard as `HARD`, lifted by `lift`."""

    def make(
        name: str,
        lift: float = 0.0,
        *,
        task: Mapping[str, Any] | None = None,
        tokens: float | None = 1000,
        examples: bool = True,
        model: Mapping[str, Any] | None = None,
        **choices: Any,
    ) -> Record:
        resolved = config(**choices)
        kind = choices.get("embedding", "Full")
        base = replace(
            record.model,
            name=name,
            parts={"weights": revision_of({"x": f"{name} {choices} {tokens}"})},
            config=resolved,
            training={"tokens_seen": tokens},
            axes=Axes("MaskedLM", kind, "DenseEncoder", None, "AdamW", None, "Data"),
        )
        info = replace(base, **(model or {}))
        noise = np.random.default_rng(len(name)).normal(0, 0.01, len(HARD))
        values = Examples.of_values("ndcg_at_10", HARD + lift + noise, unit="query")
        scores = Scores(values.statistic(), {})
        found = replace(record, model=info, task=replace(record.task, **(task or {})), scores=scores)
        if examples:
            beside = examples_path(path_of(tmp_path, info, found.task))
            found = replace(found, examples=ExamplesFile(beside.name, values.save(beside), values.count))
        write(found, tmp_path)
        return found

    return make


def zoo_compare(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    status: int = args.handler(args)
    return status


def test_two_models_that_differ_in_one_choice(scored: Write, tmp_path: Path) -> None:
    scored("a", 0.05)
    scored("b", embedding="Tied")
    scored("a", 0.0, task={"name": "Same"})
    scored("b", 0.0, task={"name": "Same"}, embedding="Tied")
    report = compare("a", "b", tmp_path)
    assert report.axis == "embedding"
    same, retrieval = sorted(report.tables, key=lambda table: table.task.name, reverse=True)
    assert same.task.name == "Same"
    assert same.ranks == (1, 1)
    assert retrieval.ranks == (1, 2)
    assert retrieval.pairs[0, 1].low < 0.05 < retrieval.pairs[0, 1].high
    found = mean_difference(report)
    assert found is not None
    assert found[3] == 2
    assert found[1] < 0.025 < found[2]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"lr": 0.01}, "model.init_args.optimizer.init_args.lr: 0.001 and 0.01"),
        ({"tokens": 1011}, "tokens_seen: 1,000 and 1,011 (more than 1 % apart)"),
        ({"tokens": None}, "tokens_seen: 1,000 and not recorded (more than 1 % apart)"),
        ({"model": {"dtype": "bfloat16"}}, "dtype: float32 and bfloat16"),
        ({"model": {"max_length": 99}}, "max_length: 32 and 99"),
        ({"model": {"prompts": {}}}, "prompts.query: 'q: ' and not set"),
        ({"task": {"rows": "1" * 32}}, f"PydocRetrieval.rows: {'0' * 32} and {'1' * 32}"),
        ({"task": {"scoring": "mteb 9"}}, "PydocRetrieval.scoring: mteb 2.26.24 and mteb 9"),
        ({"task": {"metric": "map_at_5"}}, "PydocRetrieval.metric: ndcg_at_10 and map_at_5"),
        ({"task": {"name": "Other"}}, "tasks: none was scored on both"),
    ],
)
def test_anything_else_that_differs_is_refused_by_name(
    scored: Write, tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    scored("a")
    scored("b", embedding="Tied", **change)
    with pytest.raises(UnfairError) as error:
        compare("a", "b", tmp_path)
    assert line in error.value.lines


def test_tokens_within_one_percent_are_equal(scored: Write, tmp_path: Path) -> None:
    scored("a", tokens=1000)
    scored("b", embedding="Tied", tokens=1010)
    assert compare("a", "b", tmp_path).axis == "embedding"


def test_differences_can_be_let_through(scored: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored("a", 0.05)
    scored("b", embedding="Tied", lr=0.01, tokens=5000)
    lr = "model.init_args.optimizer"
    assert zoo_compare("a", "b", "--results", tmp_path, "--except", lr) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "zoo: error: not a fair comparison: a and b differ in more than one choice"
    assert [line.strip() for line in printed[1:-1]] == ["tokens_seen: 1,000 and 5,000 (more than 1 % apart)"]
    assert zoo_compare("a", "b", "--results", tmp_path, "--except", lr, "--except", "tokens_seen") == 0
    printed_out = capsys.readouterr().out
    assert f"let through by --except: {lr}, tokens_seen" in printed_out
    assert "a better on 1, b better on 0, undecided 0" in printed_out
    assert "the spread of seeds is unknown" in printed_out


def test_models_that_were_not_trained_here_are_refused(scored: Write, tmp_path: Path) -> None:
    nothing = {"config": None, "training": None, "axes": None}
    scored("a")
    scored("b", model={**nothing, "parts": {"weights": revision_of({"x": "b"}), "similarity": "cosine"}})
    with pytest.raises(UnfairError) as error:
        compare("a", "b", tmp_path)
    (line,) = error.value.lines
    assert line.startswith("config: known and unknown (not trained here; revision ")
    assert compare("a", "b", tmp_path, ["config"]).tables[0].pairs


def test_seeds_are_one_model(scored: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, lift in enumerate((0.0, 0.3, 0.1)):
        scored(f"full-{seed}", lift, seed=seed)
        scored(f"tied-{seed}", lift + 0.02, embedding="Tied", seed=seed)
    report = compare("full-0", "tied-1", tmp_path)
    assert [len(contender.runs) for contender in report.contenders] == [3, 3]
    assert report.tables[0].pairs[0, 1].seeds == (3, 3)
    assert report.tables[0].ranks == (1, 1), "seeds differ more than the models"
    with pytest.raises(ValueError, match="are the same model, or seeds of one"):
        compare("full-0", "full-1", tmp_path)
    assert zoo_compare("--axis", "embedding", "--results", tmp_path) == 0
    assert "3 seeds" in capsys.readouterr().out


def test_one_axis_takes_what_differs_in_it_alone(
    scored: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored("full")
    scored("tied", 0.2, embedding="Tied")
    scored("subspace", 0.2, embedding="Subspace")
    scored("odd", embedding="Odd", lr=0.5)
    report = compare_axis("embedding", tmp_path)
    ranks = dict(zip((c.label for c in report.contenders), report.tables[0].ranks, strict=True))
    assert ranks["full"] == 3
    assert set(ranks) == {"full", "tied", "subspace"}
    assert report.left_out == ("odd: model.init_args.optimizer.init_args.lr: 0.001 and 0.5",)
    assert zoo_compare("--axis", "embedding", "--results", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "(rank 3)" in printed
    assert "left out: odd" in printed
    assert zoo_compare("--axis", "encoder", "--results", tmp_path) == 2
    assert "no two models differ in the encoder alone" in capsys.readouterr().err


def test_no_values_of_single_examples_is_no_verdict(scored: Write, tmp_path: Path) -> None:
    scored("a")
    scored("b", 0.5, embedding="Tied", examples=False)
    table = compare("a", "b", tmp_path).tables[0]
    assert table.pairs == {}
    assert "no per-example values" in table.reason


def test_a_changed_file_beside_a_record_is_noticed(scored: Write, tmp_path: Path) -> None:
    scored("a")
    found = scored("b", embedding="Tied")
    beside = examples_path(path_of(tmp_path, found.model, found.task))
    Examples.of_values("ndcg_at_10", HARD + 1, unit="query").save(beside)
    assert "is not the file that its record names" in compare("a", "b", tmp_path).tables[0].reason


def test_names_must_be_there_and_clear(scored: Write, tmp_path: Path) -> None:
    first = scored("a")
    second = scored("a", lr=0.5)
    scored("b", embedding="Tied")
    with pytest.raises(ValueError, match="no such model in the results; there are a, b"):
        compare("c", "b", tmp_path)
    with pytest.raises(ValueError, match=f"a means several models .* a@{first.model.revision[:8]}"):
        compare("a", "b", tmp_path)
    assert compare(f"runs/a@{first.model.revision[:8]}", "runs/b", tmp_path).axis == "embedding"
    with pytest.raises(UnfairError):
        compare(f"a@{second.model.revision[:8]}", "b", tmp_path)


def test_wrong_usage(tmp_path: Path) -> None:
    for arguments in ([], ["a"], ["a", "b", "--axis", "head"]):
        with pytest.raises(ValueError, match="name two models, or an --axis"):
            zoo_compare(*arguments, "--results", tmp_path)
    with pytest.raises(ValueError, match="no such axis; there are objective"):
        compare_axis("colour", tmp_path)


def test_lower_is_better(scored: Write, tmp_path: Path) -> None:
    bits = {"metric": "bits_per_byte", "higher_is_better": False}
    scored("a", 0.1, task=bits)
    scored("b", task=bits, embedding="Tied")
    report = compare("a", "b", tmp_path)
    assert report.tables[0].ranks == (2, 1)
    assert mean_difference(report) is None
