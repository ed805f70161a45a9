from __future__ import annotations

import argparse

import pytest

from bench.speed import sparse_target, sparse_target_report, sparse_target_training
from bench.speed.cli import add_speed
from bench.speed.ratio import Timing
from bench.speed.sparse_target_report import print_parts

TIMINGS = {sparse_target.OURS: Timing((0.01, 0.02)), "other": Timing((1.0, 2.0))}


@pytest.fixture(autouse=True)
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Results without a measurement, and the numbers of threads that were asked for."""
    asked: list[int] = []
    trained = {sparse_target_training.OURS: Timing((0.1,)), sparse_target_training.SOFTMAX: Timing((2.0,))}
    results = {
        "measure": TIMINGS,
        "measure_growth": {10_000: Timing((0.01,)), 50_000: Timing((0.011,))},
        "bench.speed.sparse_target_training": sparse_target_training.Result(512, 5_200_000, trained),
    }

    def in_fresh_process(threads: int, function: object, *args: object, **kwargs: object) -> object:
        asked.append(threads)
        module, name = function.__module__, function.__name__  # type: ignore[attr-defined]
        return results.get(module, results[name])

    monkeypatch.setattr(sparse_target_report, "in_fresh_process", in_fresh_process)
    monkeypatch.setenv("COLUMNS", "300")
    return asked


@pytest.mark.parametrize(("words", "threads"), [((), [1, 2]), (("--threads", "4"), [4])])
def test_one_thread_and_two_are_the_default(words: tuple[str, ...], threads: list[int]) -> None:
    parser = argparse.ArgumentParser()
    add_speed(parser)
    args = parser.parse_args(["sparse-target", *words])
    assert list(args.threads) == threads
    assert list(args.parts) == ["step", "growth", "training", "memory"]
    assert parser.parse_args(["augmented", *words]).threads == (threads[0] if words else 2)


def test_every_part_states_its_threads(asked_for: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert print_parts(("step", "growth", "training"), (1, 2), rounds=1) == 0
    assert asked_for == [1] * 6 + [2] * 6
    printed = capsys.readouterr().out
    for threads in (1, 2):
        assert f"one step, V = 800,000, D = 512, N = 128, threads: {threads}" in printed
        assert f"milliseconds by V, threads: {threads}: 10,000: 10.0, 50,000: 11.0" in printed
        assert f"training steps of 512 tokens, V = 800,000, D = 512, threads: {threads}; encoder of 5.2" in printed
    assert "100x" in printed
    assert "20.00x" in printed


@pytest.mark.parametrize(
    ("added", "code", "verdict"), [(7e6, 0, "7.0 MB, at most 8 MB"), (9e6, 1, "9.0 MB, MORE THAN")]
)
def test_too_much_memory_is_a_failure(
    added: float, code: int, verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sparse_target, "measure_memory", lambda size: (1_638_400_000, int(added)))
    assert print_parts(("memory",), (1, 2), rounds=1) == code
    assert f"table 1,638.4 MB, beside it {verdict}" in capsys.readouterr().out
