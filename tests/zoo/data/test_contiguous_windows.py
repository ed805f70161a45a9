from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from zoo.contracts import PackedBatch, TextView
from zoo.data import TextCorpus, TextSource, WordLevel
from zoo.data.contiguous_windows import ContiguousSampler, ContiguousWindows
from zoo.data.token_cache import TokenCache

CLS, SEP = 2, 3
Write = Callable[[str, list[str]], Path]
Make = Callable[[int, int, int], ContiguousWindows]


@pytest.fixture
def windows(tmp_path: Path) -> Make:
    """`windows(count, max_length, columns)`: of a text of the numbers from 10 on, and of one without tokens."""

    def make(count: int, max_length: int, columns: int) -> ContiguousWindows:
        tokens = np.array([CLS, *range(10, 10 + count), SEP, CLS, SEP], dtype=np.uint16)
        np.save(tmp_path / "shard-00000.tokens.npy", tokens)
        np.save(tmp_path / "shard-00000.offsets.npy", np.array([0, count + 2, count + 4]))
        return ContiguousWindows(TokenCache(tmp_path, 1, 0), max_length, columns)

    return make


def sequences(batch: PackedBatch) -> list[list[int]]:
    return [batch.tokens[a:b].tolist() for a, b in itertools.pairwise(batch.cu_seqlens.tolist())]


def batches(dataset: ContiguousWindows, rank: int = 0, world_size: int = 1) -> list[PackedBatch]:
    sampler = ContiguousSampler(dataset.num_windows, dataset.columns, rank, world_size)
    return [dataset[indices] for indices in sampler]


@pytest.mark.parametrize("columns", [1, 2, 3, 7])
@pytest.mark.parametrize("max_length", [1, 4, 5, 1000])
@pytest.mark.parametrize("count", [23, 24, 25, 57])
def test_every_token_but_a_few_is_a_target_once(windows: Make, count: int, max_length: int, columns: int) -> None:
    found = batches(windows(count, max_length, columns))
    targets = sorted(token for batch in found for sequence in sequences(batch) for token in sequence[1:])
    assert targets == list(range(11, 11 + len(targets))), "the first token of a stream has nothing before it"
    assert 0 <= count - 1 - len(targets) < columns
    assert [batch.continues for batch in found] == [False] + [True] * (len(found) - 1)
    assert all(batch.num_sequences == columns for batch in found)
    for batch in found[:-1]:
        assert set(batch.cu_seqlens.diff().tolist()) == {max_length + 1}


def test_windows_of_a_column_share_the_token_between_them(windows: Make) -> None:
    found = [sequences(batch) for batch in batches(windows(24, 4, 2))]
    assert found == [
        [[10, 11, 12, 13, 14], [21, 22, 23, 24, 25]],
        [[14, 15, 16, 17, 18], [25, 26, 27, 28, 29]],
        [[18, 19, 20, 21], [29, 30, 31, 32]],
    ]


def test_processes_have_columns_of_their_own(windows: Make) -> None:
    dataset = windows(57, 5, 4)
    whole = [sequences(batch) for batch in batches(dataset)]
    ranks = [[sequences(batch) for batch in batches(dataset, rank, 2)] for rank in range(2)]
    assert [first + second for first, second in zip(*ranks, strict=True)] == whole
    with pytest.raises(ValueError, match="columns=4 cannot be split over 3 processes: set a multiple of them"):
        ContiguousSampler(dataset.num_windows, 4, 0, 3)


def test_too_few_tokens_are_refused(windows: Make) -> None:
    assert len(windows(8, 5, 7)) == 7
    with pytest.raises(ValueError, match="7 tokens do not fill columns=7: lower it or use more data"):
        windows(7, 5, 7)


def test_goes_on_with_the_next_window_of_the_epoch() -> None:
    sampler = ContiguousSampler(9, 2)
    whole = list(sampler)
    resumed = ContiguousSampler(9, 2)
    resumed.load_state_dict(sampler.state_dict(), start=4)
    assert list(resumed) == whole[4:]
    resumed.set_epoch(1)
    assert list(resumed) == whole, "every epoch has the same order"
    with pytest.raises(ValueError, match="num_batches was 9 and is 8 now"):
        ContiguousSampler(8, 2).load_state_dict(sampler.state_dict(), 4)


def corpus(write_lines: Write, tmp_path: Path, **options: Any) -> TextCorpus:
    lines = [f"{n} a" for n in range(120)]
    folder = write_lines("train.txt", lines).parent
    write_lines("valid.txt", lines[:30])
    write_lines("test.txt", lines[:20])
    source = TextSource(str(folder), documents="stream")
    return TextCorpus(source, WordLevel, 8, cache_dir=str(tmp_path / "cache"), **options)


def test_a_corpus_in_columns(write_lines: Write, tmp_path: Path) -> None:
    data = corpus(write_lines, tmp_path, columns=4)
    data.setup_for(TextView())
    split = data.description["splits"]["train"]
    assert (split["documents"], split["tokens"], split["windows"]) == (1, 360, 4 * 12)
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader())
    for loader, tokens in zip(loaders, (360, 90, 60, 60), strict=True):
        found = [batch for batch in loader if isinstance(batch, PackedBatch)]
        assert len(found) == len(loader) == -(-((tokens - 1) // 4) // 8)
        assert sum(len(batch.tokens) - 4 for batch in found) == (tokens - 1) // 4 * 4
        text = torch.cat([batch.tokens for batch in found])
        assert not torch.isin(text, torch.tensor([data.vocabulary.cls_id, data.vocabulary.sep_id])).any()
        assert [batch.continues for batch in found] == [False] + [True] * (len(found) - 1)
    assert data.token_counts().sum() == 360 + 2


def test_rows_and_no_columns_are_refused(write_lines: Write) -> None:
    path = str(write_lines("train.txt", ["a"]))
    with pytest.raises(ValueError, match=r"one contiguous text a split: set data.source.documents to stream"):
        TextCorpus(TextSource(path), columns=4)
    with pytest.raises(ValueError, match="columns must be at least 1, not 0"):
        TextCorpus(TextSource(path, documents="stream"), columns=0)


class Recorder(pl.LightningModule):
    """Writes down what it is given."""

    view = TextView()

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[list[int], bool]] = []

    def training_step(self, batch: PackedBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append((batch.tokens.tolist(), batch.continues))
        return self.weight**2

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        raise AssertionError("nothing is validated here")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings(
    "ignore:.*treespec:FutureWarning", "ignore:.*callbacks used to create the checkpoint:UserWarning"
)
def test_resumes_in_mid_epoch(write_lines: Write, tmp_path: Path) -> None:
    save = ModelCheckpoint(tmp_path / "saved", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    settings: dict[str, Any] = {"max_epochs": 2, "limit_val_batches": 0, "logger": False, "accelerator": "cpu"}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False}
    whole = Recorder()
    pl.Trainer(callbacks=[save], **settings).fit(whole, corpus(write_lines, tmp_path, columns=4))
    assert [continues for _, continues in whole.seen] == ([False] + [True] * 11) * 2
    for step in (5, 12, 13):
        resumed = Recorder()
        trainer = pl.Trainer(enable_checkpointing=False, **settings)
        data = corpus(write_lines, tmp_path, columns=4)
        trainer.fit(resumed, data, ckpt_path=tmp_path / "saved" / f"step={step}.ckpt")
        assert resumed.seen == whole.seen[step:]


def test_a_process_knows_its_columns(write_lines: Write, tmp_path: Path) -> None:
    data = corpus(write_lines, tmp_path, columns=4)
    data.setup_for(TextView())
    data.trainer = cast(
        pl.Trainer,
        SimpleNamespace(
            global_rank=1, world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")), overfit_batches=0
        ),
    )
    assert next(iter(data.train_dataloader().batch_sampler)) == [2, 3]


def test_wikitext_in_columns_has_the_published_tokens(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    source = TextSource(str(real_data / "Salesforce" / "wikitext"), "wikitext-2-v1", documents="stream")
    data = TextCorpus(source, WordLevel, 35, columns=20, cache_dir=str(tmp_path / "cache"))
    data.setup_for(TextView())
    for split, tokens in (("train", 2_088_628), ("validation", 217_646), ("test", 245_569)):
        assert data.description["splits"][split]["tokens"] == tokens
        dataset = data._dataset(split)
        assert isinstance(dataset, ContiguousWindows)
        targets = int(dataset.lengths.sum()) - len(dataset)
        assert 0 <= tokens - 1 - targets < 20
    assert len(data.train_dataloader()) == 2984
