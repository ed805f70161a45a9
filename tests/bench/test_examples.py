from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.examples import Examples, Group


@pytest.fixture
def examples() -> Examples:
    groups = tuple(
        Group(f"test/{lang}", np.array(["a", "b", "c"]), {"values": np.array([0.0, 0.5, value])})
        for lang, value in (("en", 1.0), ("de", 0.4))
    )
    return Examples("ndcg_at_10", "mean", "query", groups)


def test_main_score_is_the_mean_over_groups(examples: Examples) -> None:
    assert examples.statistic() == pytest.approx((0.5 + 0.3) / 2)
    assert examples.count == 6


def test_what_is_saved_is_loaded_and_always_the_same_bytes(examples: Examples, tmp_path: Path) -> None:
    digest = examples.save(tmp_path / "one.npz")
    assert examples.save(tmp_path / "two.npz") == digest
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    loaded = Examples.load(tmp_path / "one.npz")
    loaded.check_pair(examples)
    assert (loaded.statistic(), loaded.unit) == (examples.statistic(), "query")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"], "nothing temporary is left"


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_damaged_files_are_refused(examples: Examples, tmp_path: Path, place: float) -> None:
    path = tmp_path / "x.npz"
    examples.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(place * len(whole))])
    with pytest.raises(ValueError, match=r"x\.npz: not a usable file .* run `zoo bench run` again"):
        Examples.load(path)


def test_edited_values_are_refused(examples: Examples, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    examples.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["0.values"] = arrays["0.values"] + 0.1
    np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match="checksum does not match"):
        Examples.load(path)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, description=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a usable file"):
        Examples.load(path)


def test_a_failed_write_leaves_nothing(examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples.save(tmp_path / "x.npz")
    before = (tmp_path / "x.npz").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Examples.of_values("x", [0.1, 0.2], unit="query").save(tmp_path / "x.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert (tmp_path / "x.npz").read_bytes() == before


def test_values_must_be_whole() -> None:
    with pytest.raises(ValueError, match="has no examples"):
        Examples.of_values("x", [], unit="query")
    with pytest.raises(ValueError, match="not finite"):
        Examples.of_values("x", [0.1, float("nan")], unit="query")
    with pytest.raises(ValueError, match="two examples of one id"):
        Examples.of_values("x", [0.1, 0.2], unit="query", ids=["a", "a"])
    with pytest.raises(ValueError, match="no statistic 'median'"):
        Examples.of_predictions("x", "median", [1, 2], [1, 2])


def test_pairs_must_be_the_same_data() -> None:
    one = Examples.of_predictions("x", "accuracy", [0, 1], [0, 1])
    with pytest.raises(ValueError, match="values of 'gold' differ"):
        one.check_pair(Examples.of_predictions("x", "accuracy", [1, 1], [0, 1]))
    with pytest.raises(ValueError, match="not the same score: accuracy and mcc"):
        one.check_pair(Examples.of_predictions("x", "mcc", [0, 1], [0, 1]))


def test_a_ratio_is_of_sums() -> None:
    found = Examples.of_ratio("bits_per_byte", [1.0, 6.0], [1, 3], unit="text", scale=2.0)
    assert found.statistic() == pytest.approx(2 * 7 / 4)
