from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.embedding import Embedder, plan
from bench.parallel import Workers

NewEncoder = Callable[..., Any]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "WINDOW_CHARACTERS", 200)


def some_texts(count: int = 40, start: int = 0) -> list[str]:
    words = ["red", "green", "blue", "horse", "heron", "iron"]
    return [
        " ".join([words[(i + j) % 6] for j in range(1 + i % 5)] + [f"n{chr(97 + i % 26)}{i}"])
        for i in range(start, start + count)
    ]


def given_texts(encoder: Any) -> list[str]:
    return [text for texts, _, _ in encoder.calls for text in texts]


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npy"))


@pytest.mark.parametrize("on_disk", [True, False])
def test_vectors_come_in_the_order_of_the_texts(on_disk: bool, tmp_path: Path, new_encoder: NewEncoder) -> None:
    encoder = new_encoder()
    texts = some_texts()
    embedder = Embedder(encoder, tmp_path if on_disk else None)
    vectors = embedder.encode([*texts, *texts[:5]])
    expected = new_encoder().embed(texts, encoder.route(None, None))
    np.testing.assert_allclose(vectors, np.concatenate([expected, expected[:5]]), rtol=1e-5)
    assert vectors.dtype == np.float32
    assert (embedder.meter.texts, embedder.meter.texts_encoded) == (45, 40)
    assert embedder.meter.seconds > 0
    assert embedder.encode([]).shape == (0, 64)


def test_each_distinct_text_is_encoded_once_over_calls_and_objects(tmp_path: Path, new_encoder: NewEncoder) -> None:
    encoder, texts = new_encoder(), some_texts(60)
    first = Embedder(encoder, tmp_path)
    first.encode(texts[:30])
    first.encode(texts[10:45])
    again = Embedder(encoder, tmp_path)
    vectors = again.encode(texts)
    assert sorted(given_texts(encoder)) == sorted(texts)
    assert again.meter.texts_encoded == 15
    assert np.array_equal(vectors, Embedder(encoder, tmp_path).encode(texts))
    assert sorted(given_texts(encoder)) == sorted(texts)


def test_prompts_and_roles_are_kept_apart(tmp_path: Path, new_encoder: NewEncoder) -> None:
    encoder = new_encoder()
    embedder = Embedder(encoder, tmp_path)
    plain = embedder.encode(["red horse"])
    prompted = embedder.encode(["red horse"], prompt="blue ")
    assert not np.array_equal(plain, prompted)
    embedder.encode(["red horse"], role="query")
    assert encoder.calls == [(["red horse"], "", None), (["red horse"], "blue ", None), (["red horse"], "", "query")]


def test_models_of_one_name_are_kept_apart(tmp_path: Path, new_encoder: NewEncoder) -> None:
    one, other = (Embedder(new_encoder(seed=seed), tmp_path).encode(["red horse"]) for seed in (0, 1))
    assert not np.allclose(one, other)


@pytest.mark.parametrize("damage", ["cut", "alter", "empty"])
def test_a_damaged_shard_is_missing(
    damage: str, tmp_path: Path, new_encoder: NewEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, texts = new_encoder(), some_texts()
    vectors = Embedder(encoder, tmp_path).encode(texts)
    victim = files(tmp_path)[0]
    content = bytearray(victim.read_bytes())
    content[-3] ^= 1
    victim.write_bytes({"cut": bytes(content[:-7]), "alter": bytes(content), "empty": b""}[damage])
    count = len(given_texts(encoder))
    with caplog.at_level(logging.WARNING):
        again = Embedder(encoder, tmp_path)
        assert np.array_equal(again.encode(texts), vectors)
    assert str(victim) in caplog.text
    assert 0 < again.meter.texts_encoded == len(given_texts(encoder)) - count < len(texts)
    assert Embedder(encoder, tmp_path).encode(texts).tobytes() == vectors.tobytes()
    assert len(given_texts(encoder)) == count + again.meter.texts_encoded


class InterruptedJobError(Exception):
    pass


def interrupt_after(encoder: Any, calls: int) -> None:
    embed = encoder.embed

    def embed_some(batch: Sequence[Any], route: Any) -> Any:
        if len(encoder.calls) == calls:
            raise InterruptedJobError
        return embed(batch, route)

    encoder.embed = embed_some


def test_what_was_computed_before_a_failure_is_kept(tmp_path: Path, new_encoder: NewEncoder) -> None:
    texts = some_texts()
    whole = Embedder(new_encoder(), tmp_path / "whole").encode(texts)
    broken = new_encoder()
    interrupt_after(broken, 3)
    with pytest.raises(InterruptedJobError):
        Embedder(broken, tmp_path / "cache").encode(texts)
    kept = len(files(tmp_path / "cache"))
    assert kept > 0
    encoder = new_encoder()
    assert Embedder(encoder, tmp_path / "cache").encode(texts).tobytes() == whole.tobytes()
    assert [path.name for path in files(tmp_path / "cache")] == [path.name for path in files(tmp_path / "whole")]
    assert len(given_texts(encoder)) < len(texts)


def test_lost_windows_are_made_again_as_they_were(tmp_path: Path, new_encoder: NewEncoder) -> None:
    texts = [f"red {'x' * (i * 37 % 150)}" for i in range(80)]
    vectors = Embedder(new_encoder(), tmp_path).encode(texts)
    before = [path.name for path in files(tmp_path)]
    for path in files(tmp_path)[::2]:
        path.unlink()
    assert Embedder(new_encoder(), tmp_path).encode(texts).tobytes() == vectors.tobytes()
    assert [path.name for path in files(tmp_path)] == before


def test_a_job_goes_on_after_another_one_has_met_its_texts(tmp_path: Path, new_encoder: NewEncoder) -> None:
    texts = some_texts(80)
    vectors = Embedder(new_encoder(), tmp_path).encode(texts)
    for path in files(tmp_path)[::2]:
        path.unlink()
    Embedder(new_encoder(), tmp_path).encode(texts[:40])
    np.testing.assert_allclose(Embedder(new_encoder(), tmp_path).encode(texts), vectors, rtol=1e-5)
    assert sum(len(np.load(path)) for path in files(tmp_path)) == 80, "no text is computed twice"


@pytest.mark.parametrize("broken", ["nan", "shape"])
def test_bad_vectors_are_refused(broken: str, tmp_path: Path, new_encoder: NewEncoder) -> None:
    encoder = new_encoder(broken=broken == "nan")
    if broken == "shape":
        encoder.embed = lambda batch, route: np.zeros((len(batch), 3), np.float32)
    message = (
        "not finite for the text 'red" if broken == "nan" else r"vectors of shape \(1, 3\) for 1 texts, not \(1, 64\)"
    )
    with pytest.raises(ValueError, match=message):
        Embedder(encoder, tmp_path).encode(["red horse"])
    assert files(tmp_path) == []


class Small:
    """An encoder that has memory for so many texts at a time."""

    def __init__(self, encoder: Any, room: int, error: Exception) -> None:
        self._encoder, self._room, self._error = encoder, room, error
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed(self, batch: Sequence[Any], route: Any) -> NDArray[np.float32]:
        if len(batch) > self._room:
            self.refused += 1
            raise self._error
        vectors: NDArray[np.float32] = self._encoder.embed(batch, route)
        return vectors


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("room", [1, 3])
def test_a_batch_that_does_not_fit_is_cut(room: int, error: Exception, new_encoder: NewEncoder) -> None:
    texts = [f"red {chr(97 + i)}" for i in range(26)]
    small = Small(new_encoder(batch_tokens=40), room, error)
    vectors = Embedder(small).encode(texts)
    np.testing.assert_allclose(vectors, Embedder(new_encoder()).encode(texts), rtol=1e-5)
    assert small.refused < 5, "what does not fit once is not tried again"


def test_a_text_that_does_not_fit_alone(new_encoder: NewEncoder) -> None:
    with pytest.raises(ValueError, match="a text of 4 tokens alone does not fit into the memory"):
        Embedder(Small(new_encoder(), 0, OUT_OF_MEMORY[0])).encode(["abcd", "abce"])
    with pytest.raises(RuntimeError, match="something else"):
        Embedder(Small(new_encoder(), 0, RuntimeError("something else"))).encode(["abcd"])


def test_streams_do_not_change_the_vectors(new_encoder: NewEncoder) -> None:
    texts, threads = some_texts(), torch.get_num_threads()
    one, three = (Embedder(new_encoder(streams=streams)).encode(texts) for streams in (1, 3))
    assert one.tobytes() == three.tobytes()
    assert torch.get_num_threads() == threads


def test_the_next_window_is_tokenized_in_another_thread(new_encoder: NewEncoder) -> None:
    encoder, threads = new_encoder(), []
    tokenize = encoder.tokenize

    def watched(texts: Sequence[str], route: Any) -> Any:
        threads.append(threading.get_ident())
        return tokenize(texts, route)

    encoder.tokenize = watched
    Embedder(encoder).encode(some_texts())
    assert threads[0] == threading.get_ident()
    assert len(threads) > 2
    assert threading.get_ident() not in threads[1:]


class OneOf:
    """One of several processes that are played one after the other."""

    device = None

    def __init__(self, rank: int, world_size: int, broadcasts: list[Any]) -> None:
        self.rank, self.world_size = rank, world_size
        self._broadcasts, self._next = broadcasts, 0

    def barrier(self) -> None:
        pass

    def agree(self, error: Exception | None) -> None:
        if error is not None:
            raise error

    def broadcast(self, value: Any) -> Any:
        if self.rank == 0:
            self._broadcasts.append(value)
        self._next += 1
        return self._broadcasts[self._next - 1]


@pytest.mark.parametrize("world_size", [1, 3, 7])
def test_shards_are_the_same_for_any_number_of_processes(
    world_size: int, tmp_path: Path, new_encoder: NewEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = some_texts(100)
    expected = Embedder(new_encoder(), tmp_path / "alone")
    vectors = expected.encode(texts)
    monkeypatch.setattr("bench.embedding.embedder._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("bench.embedding.embedder.check_shared", lambda workers, folder: None)
    broadcasts: list[Any] = []
    shares = []
    for rank in range(world_size):
        workers: Workers = OneOf(rank, world_size, broadcasts)
        encoder = new_encoder()
        embedder = Embedder(encoder, tmp_path / "cache", workers)
        last = rank == world_size - 1
        if last:
            assert embedder.encode(texts).tobytes() == vectors.tobytes()
            assert embedder.meter.texts_encoded == 100
        else:
            with pytest.raises(OSError, match="vanished"):
                embedder.encode(texts)
        shares.append(given_texts(encoder))
    assert sorted(text for share in shares for text in share) == sorted(texts)
    assert all(shares)
    assert [p.name for p in files(tmp_path / "cache")] == [p.name for p in files(tmp_path / "alone")]


def test_several_processes_need_a_folder(new_encoder: NewEncoder) -> None:
    with pytest.raises(ValueError, match="several processes exchange vectors through a cache folder"):
        Embedder(new_encoder(), None, OneOf(0, 2, []))


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, new_encoder: NewEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.embedding.shard_folder.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        Embedder(new_encoder(), tmp_path).encode(["red horse"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
