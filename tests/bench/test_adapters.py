from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import Dataset
from mteb.models import CachedEmbeddingWrapper, EncoderProtocol, ModelMeta, SearchProtocol
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from bench.adapters import MtebEncoder, MtebSearcher, model_meta
from bench.embedding import Embedder, Meter
from bench.models.bm25 import BM25Model
from bench.models.sentence_transformer import SentenceTransformerModel
from bench.protocols import NotApplicableError

STS: Any = SimpleNamespace(name="STSBenchmark", type="STS")
RETRIEVAL: Any = SimpleNamespace(name="SciFact", type="Retrieval")
LOADER: Any = [{"text": ["a b", "c"]}, {"text": ["d"]}]


def test_the_prompt_of_the_side_is_used(new_encoder: Callable[..., Any]) -> None:
    encoder = new_encoder(prompts={"query": "q: ", "document": "d: ", "STS": "s: "})
    embedder = Embedder(encoder)
    adapted = MtebEncoder(embedder)
    adapted.encode(LOADER, task_metadata=RETRIEVAL, prompt_type=PromptType.query)
    adapted.encode(LOADER, task_metadata=RETRIEVAL, prompt_type=PromptType.document)
    adapted.encode(LOADER, task_metadata=STS)
    adapted.encode(LOADER, task_metadata=RETRIEVAL)
    assert [call[1:] for call in encoder.calls] == [("q: ", "query"), ("d: ", "document"), ("s: ", None), ("", None)]
    assert all(sorted(call[0]) == ["a b", "c", "d"] for call in encoder.calls)
    assert embedder.meter.texts == 12
    assert embedder.meter.seconds > 0


def test_it_is_what_mteb_looks_for(new_encoder: Callable[..., Any]) -> None:
    adapted = MtebEncoder(Embedder(new_encoder()))
    assert isinstance(adapted, EncoderProtocol)
    assert isinstance(adapted, SearchProtocol)


def test_vectors_that_are_not_finite_are_refused(new_encoder: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="not finite for the text"):
        MtebEncoder(Embedder(new_encoder(broken=True))).encode(LOADER, task_metadata=STS)


def test_a_task_without_texts_is_not_applicable(new_encoder: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="the task gives image and no text"):
        MtebEncoder(Embedder(new_encoder())).encode([{"image": [1]}], task_metadata=STS)


def test_the_revision_is_the_content_hash(new_encoder: Callable[..., Any]) -> None:
    first, second = (model_meta(new_encoder(seed=seed, name="a name/x").describe()) for seed in (0, 1))
    assert first.name == second.name == "zoo/a_name_x"
    assert first.revision != second.revision


def static_model(folder: Path, seed: int) -> Path:
    """A model of two words, saved in a folder that is called like that of every other one."""
    vocabulary = {"[UNK]": 0, "red": 1, "blue": 2}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)
    path = folder / str(seed) / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(path))
    return path


@pytest.mark.filterwarnings("ignore")
def test_local_models_do_not_share_a_key(tmp_path: Path) -> None:
    folders = [static_model(tmp_path, seed) for seed in (0, 1)]
    theirs = [ModelMeta.from_sentence_transformer_model(SentenceTransformer(str(f), device="cpu")) for f in folders]
    assert (theirs[0].name, theirs[0].revision) == (theirs[1].name, theirs[1].revision), "mteb tells them apart now"
    ours = [model_meta(SentenceTransformerModel(str(folder), "cpu", "32-true").describe()) for folder in folders]
    assert ours[0].name == ours[1].name
    assert ours[0].revision != ours[1].revision


@pytest.mark.filterwarnings("ignore")
def test_a_model_is_not_served_the_vectors_of_another_one(tmp_path: Path) -> None:
    folders = [static_model(tmp_path, seed) for seed in (0, 1)]
    texts = ["red", "blue red"]
    task = mteb.get_task("STSBenchmark").metadata
    loader = mteb._create_dataloaders._create_dataloader_from_texts(texts)
    options: Any = {"task_metadata": task, "hf_split": "test", "hf_subset": "default"}
    theirs = []
    for folder in folders:
        model = mteb.models.SentenceTransformerEncoderWrapper(SentenceTransformer(str(folder), device="cpu"))
        cached = CachedEmbeddingWrapper(model, tmp_path / "mteb")
        theirs.append(np.asarray(cached.encode(loader, **options, show_progress_bar=False)))
        cached.close()
    assert np.array_equal(theirs[0], theirs[1]), "mteb keeps them apart now"
    for folder in folders:
        model = SentenceTransformerModel(str(folder), "cpu", "32-true")
        vectors = MtebEncoder(Embedder(model, tmp_path / "ours")).encode(loader, task_metadata=task)
        np.testing.assert_allclose(vectors, SentenceTransformer(str(folder), device="cpu").encode(texts), atol=1e-6)


CORPUS = Dataset.from_list(
    [
        {"id": "d1", "title": "", "text": "iron and copper"},
        {"id": "d2", "title": "Otters", "text": "swim"},
        {"id": "d3", "title": "", "text": "iron"},
    ]
)
QUERIES = Dataset.from_list([{"id": "q1", "text": "iron"}, {"id": "q2", "text": "otters"}, {"id": "q3", "text": "zzz"}])


def test_a_searcher_ranks_titles_and_texts() -> None:
    searcher = MtebSearcher(BM25Model(), Meter())
    searcher.index(CORPUS)
    found = searcher.search(QUERIES, top_k=2)
    assert list(found["q1"]) == ["d3", "d1"]
    assert next(iter(found["q2"])) == "d2"
    assert found["q3"] == {"d1": 0.0, "d2": 0.0}


def test_a_searcher_reranks_only_the_candidates() -> None:
    searcher = MtebSearcher(BM25Model(), Meter())
    searcher.index(CORPUS)
    found = searcher.search(QUERIES, top_k=10, top_ranked={"q1": ["d2", "d1"], "q2": ["d3"]})
    assert list(found["q1"]) == ["d1", "d2"]
    assert list(found["q2"]) == ["d3"]
    assert found["q3"] == {}


def test_bm25_scores_are_those_of_the_formula() -> None:
    model = BM25Model()
    documents = ["iron iron copper", "copper", "silver otter"]
    model.index(documents)
    idf = np.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    length, mean = 3, 2
    expected = idf * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * length / mean))
    assert model.search("iron") == pytest.approx([expected, 0, 0], rel=1e-5)
