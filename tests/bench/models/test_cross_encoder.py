from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from bench.explain import explain
from bench.models.cross_encoder import CrossEncoderModel
from bench.models.opening import kind_of, open_model

PAIRS = [("red cat", "the dog is blue"), ("a", "b c"), ("red cat", "the dog is blue"), ("horse", "horse horse " * 20)]


@pytest.mark.parametrize("saved_by", ["transformers", "sentence-transformers"])
def test_scores_are_those_of_the_library_before_its_activation(
    new_cross_encoder: Callable[..., Path], saved_by: str
) -> None:
    folder = new_cross_encoder(saved_by=saved_by)
    assert kind_of(str(folder)) == "cross-encoder"
    model = open_model(str(folder), device="cpu")
    assert isinstance(model, CrossEncoderModel)
    library = CrossEncoder(str(folder), device="cpu")
    expected = [library.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in PAIRS]
    np.testing.assert_allclose(model.score(PAIRS), expected, atol=1e-5)
    squashed = library.predict(PAIRS)
    np.testing.assert_allclose(1 / (1 + np.exp(-model.score(PAIRS))), squashed, atol=1e-5)
    assert model.score([]).shape == (0,)


def test_equal_pairs_are_read_once_and_long_ones_together(
    new_cross_encoder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CrossEncoderModel(str(new_cross_encoder()), "cpu", "32-true")
    read: list[Any] = []
    real = model._model.predict

    def predict(pairs: Any, **kwargs: Any) -> Any:
        read.extend(pairs)
        return real(pairs, **kwargs)

    monkeypatch.setattr(model._model, "predict", predict)
    model.score(PAIRS)
    assert read == [list(PAIRS[3]), list(PAIRS[0]), list(PAIRS[1])]


def test_too_little_memory_halves_the_batch(
    new_cross_encoder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CrossEncoderModel(str(new_cross_encoder()), "cpu", "32-true")
    expected = model.score(PAIRS)
    real, sizes = model._model.predict, []

    def predict(pairs: Any, batch_size: int, **kwargs: Any) -> Any:
        sizes.append(batch_size)
        if batch_size > 1:
            raise torch.OutOfMemoryError
        return real(pairs, batch_size=batch_size, **kwargs)

    monkeypatch.setattr(model._model, "predict", predict)
    np.testing.assert_allclose(model.score(PAIRS), expected, atol=1e-5)
    assert sizes == [64, 32, 16, 8, 4, 2, 1]


def test_identity_depends_on_weights_length_and_dtype_and_not_on_the_folder(
    new_cross_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = new_cross_encoder()
    info = CrossEncoderModel(str(folder), "cpu", "32-true").describe()
    shutil.copytree(folder, tmp_path / "copy")
    assert CrossEncoderModel(str(tmp_path / "copy"), "cpu", "32-true").describe().parts == info.parts
    assert CrossEncoderModel(str(folder), "cpu", "bf16-mixed").describe().revision != info.revision
    other = new_cross_encoder(seed=1, where="other")
    assert CrossEncoderModel(str(other), "cpu", "32-true").describe().revision != info.revision
    assert (info.kind, info.max_length, info.dim, info.source) == ("cross-encoder", 16, None, None)
    assert info.parts["first_stage"].startswith("bm25 ")
    assert info.parts["first_stage"].endswith("first 100")
    assert info.parameters is not None
    assert info.parameters.total == sum(p.numel() for p in CrossEncoder(str(folder)).parameters())


def test_a_classifier_of_pairs_is_refused(new_cross_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="3 scores for a pair"):
        open_model(str(new_cross_encoder(outputs=3)), device="cpu")


def test_a_precision_that_it_does_not_have_is_refused(new_cross_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="32-true and bf16-mixed"):
        open_model(str(new_cross_encoder()), device="cpu", precision="bf16-true")


def test_what_it_reads_can_be_explained(new_cross_encoder: Callable[..., Path]) -> None:
    explanation = explain(open_model(str(new_cross_encoder()), device="cpu"), ["red cat", "the dog " * 20])
    (reading,) = explanation.readings
    assert reading.pieces is not None
    assert reading.pieces[:5] == ("[CLS]", "red", "cat", "[SEP]", "the")
    assert (len(reading.pieces), reading.lost) == (16, 45 - 16)
    assert explanation.facts["first stage"].startswith("bm25")
