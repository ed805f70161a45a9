from __future__ import annotations

from pathlib import Path

import pytest

from bench.models.opening import kind_of, open_model, split_label


def test_each_kind_is_recognised(tmp_path: Path) -> None:
    run, foreign = tmp_path / "run", tmp_path / "foreign"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    foreign.mkdir()
    (foreign / "modules.json").touch()
    assert kind_of(str(run)) == kind_of(str(run / "checkpoints" / "last.ckpt")) == "zoo"
    assert kind_of(str(foreign)) == kind_of("owner/name") == "sentence-transformers"
    assert kind_of("bm25") == "lexical"


@pytest.mark.parametrize("name", ["nope", "./owner/name", "/nope/x", "a/b/c", "runs/x.ckpt", ""])
def test_a_wrong_name_says_what_was_looked_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="--model"):
        kind_of(name)


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \.ckpt in it.*no modules\.json"):
        kind_of(str(tmp_path))


def test_a_broken_sentence_transformers_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[{]")
    with pytest.raises(ValueError, match="no sentence-transformers model could be loaded") as caught:
        open_model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="32-true, bf16-mixed"):
        open_model("bm25", precision="8")


def test_an_existing_path_with_an_equals_sign_is_no_label(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert split_label(str(odd)) == (None, str(odd))
    assert split_label("x=owner/name") == ("x", "owner/name")
