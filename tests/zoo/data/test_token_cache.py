from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from zoo.data import token_cache
from zoo.data.token_cache import open_token_cache

TEXTS = [f"{chr(97 + i % 26)} " * (i % 7) for i in range(100)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "_SHARD_CHARACTERS", 50)


def interrupted(texts: list[str], after: int) -> Iterator[str]:
    yield from texts[:after]
    raise KeyboardInterrupt


def test_holds_what_the_tokenizer_gives(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    cache = open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    assert cache.shards > 5
    assert [cache[i].tolist() for i in range(len(cache))] == [word_tokenizer.encode(text).ids for text in TEXTS]
    assert cache.lengths.tolist() == [len(word_tokenizer.encode(text).ids) for text in TEXTS]
    assert cache.num_bytes == sum(map(len, TEXTS))
    assert cache[0].dtype == np.uint16


def test_opens_again_without_the_texts(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    built = open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    opened = open_token_cache(tmp_path / "c", interrupted([], 0), word_tokenizer, "texts")
    assert opened == built
    copy = pickle.loads(pickle.dumps(opened))
    assert copy[50].tolist() == opened[50].tolist()
    assert len(pickle.dumps(opened)) < 1000, "workers get the path, not the tokens"


def test_goes_on_after_the_last_whole_shard(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_token_cache(tmp_path / "c", interrupted(TEXTS, 60), word_tokenizer, "texts")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("shard-*")}
    assert len(times) >= 9
    assert not list((tmp_path / "c").glob(".partial*"))
    cache = open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert [cache[i].tolist() for i in range(100)] == [word_tokenizer.encode(text).ids for text in TEXTS]


@pytest.mark.parametrize("damaged", ["shard-00003.tokens.npy", "shard-00000.offsets.npy"])
def test_truncated_shard_is_built_again(tmp_path: Path, word_tokenizer: Tokenizer, damaged: str) -> None:
    open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    path = tmp_path / "c" / damaged
    path.write_bytes(path.read_bytes()[:-2])
    cache = open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    assert [cache[i].tolist() for i in range(100)] == [word_tokenizer.encode(text).ids for text in TEXTS]


def test_two_builders_make_one_cache(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(open_token_cache(tmp_path / "c", list(TEXTS), word_tokenizer, "texts"))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(cache[99].tolist() == word_tokenizer.encode(TEXTS[99]).ids for cache in found)


def test_long_text_is_the_same_as_in_one_piece(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    text = "a b c\nd " * 50_000
    cache = open_token_cache(tmp_path / "c", [text], word_tokenizer, "texts")
    assert cache[0].tolist() == word_tokenizer.encode(text).ids
    unbroken = open_token_cache(tmp_path / "u", ["x" * 250_000], word_tokenizer, "texts")
    assert unbroken.lengths.tolist() == [5], "three unknown pieces"


def test_no_texts_at_all(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    assert len(open_token_cache(tmp_path / "c", [], word_tokenizer, "texts")) == 0


def test_counts_every_id(tmp_path: Path, word_tokenizer: Tokenizer) -> None:
    cache = open_token_cache(tmp_path / "c", TEXTS, word_tokenizer, "texts")
    size = word_tokenizer.get_vocab_size()
    expected = np.zeros(size, np.int64)
    for text in TEXTS:
        for token in word_tokenizer.encode(text).ids:
            expected[token] += 1
    assert cache.counts(size).tolist() == expected.tolist()
    assert (tmp_path / "c" / "counts.npy").is_file()
    assert cache.counts(size).tolist() == expected.tolist(), "the kept file says the same"
