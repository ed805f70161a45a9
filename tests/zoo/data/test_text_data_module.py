from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from zoo.contracts import DataView, PackedBatch, PairBatch, PairView, TextView
from zoo.data import ByteLevelBPE, PairData, PairSource, PydocCorpus, TextCorpus, TextSource, WordLevel, WordPiece
from zoo.data.tokenizers import token_bytes

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*treespec:FutureWarning",
    "ignore:.*callbacks used to create the checkpoint:UserWarning",
    "ignore:.*is smaller than the logging interval:UserWarning",
    "ignore:Checkpoint directory .* exists and is not empty:UserWarning",
)


class Recorder(pl.LightningModule):
    """Writes down what it is given."""

    def __init__(self, view: DataView) -> None:
        super().__init__()
        self.view = view
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int]]] = []

    def training_step(self, batch: PackedBatch | PairBatch, batch_idx: int) -> torch.Tensor:
        packed = batch if isinstance(batch, PackedBatch) else batch.documents
        self.seen.append((self.current_epoch, packed.tokens.tolist()))
        return self.weight**2

    def validation_step(self, batch: PackedBatch | PairBatch, batch_idx: int) -> None:
        assert self.weight == 0

    def predict_step(self, batch: PackedBatch, batch_idx: int) -> int:
        return batch.num_sequences

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=folder, accelerator="cpu", **quiet, **settings)


def toy_corpus(folder: Path, **settings: Any) -> PydocCorpus:
    return PydocCorpus(["toy"], lambda: ByteLevelBPE(500), 64, 2048, 48, cache_dir=str(folder / "cache"), **settings)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("view", [TextView(), PairView("query: ")], ids=["text", "pair"])
def test_resumes_in_mid_epoch_with_the_same_batches(
    toy_package: Path, tmp_path: Path, view: DataView, num_workers: int
) -> None:
    save = ModelCheckpoint(tmp_path / "saved", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    whole = Recorder(view)
    data = toy_corpus(tmp_path, num_workers=num_workers)
    first = trainer(tmp_path, callbacks=[save], max_epochs=2)
    first.fit(whole, data)
    per_epoch = len(data.train_dataloader())
    assert len(whole.seen) == 2 * per_epoch > 8
    assert whole.seen[0][1] != whole.seen[per_epoch][1]
    for step in (2, per_epoch - 1, per_epoch, per_epoch + 1):
        resumed = Recorder(view)
        again = trainer(tmp_path, max_epochs=2, enable_checkpointing=False)
        again.fit(
            resumed, toy_corpus(tmp_path, num_workers=num_workers), ckpt_path=tmp_path / "saved" / f"step={step}.ckpt"
        )
        assert resumed.seen == whole.seen[step:]


def test_overfits_the_same_batches_and_predicts_in_order(toy_package: Path, tmp_path: Path) -> None:
    model, data = Recorder(TextView()), toy_corpus(tmp_path)
    runner = trainer(tmp_path, max_epochs=2, overfit_batches=2, limit_val_batches=0, enable_checkpointing=False)
    runner.fit(model, data)
    assert [tokens for _, tokens in model.seen[:2]] == [tokens for _, tokens in model.seen[2:]]
    counts = trainer(tmp_path).predict(model, data)
    assert sum(counts or []) == data.description["splits"]["test"]["windows"]
    batch = next(iter(data.predict_dataloader()))
    assert isinstance(batch, PackedBatch)
    assert data.tokenizer.decode(batch.tokens[: batch.cu_seqlens[1]].tolist()).startswith("Module ")


def test_description_and_bytes(toy_package: Path, tmp_path: Path) -> None:
    data = toy_corpus(tmp_path)
    data.setup_for(TextView())
    description = json.loads(json.dumps(data.description))
    assert description["vocab_size"] == data.vocabulary.size == 500
    sizes = token_bytes(data.tokenizer)
    for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
        tokens = torch.cat([batch.tokens for batch in loader if isinstance(batch, PackedBatch)])
        assert sizes[tokens.numpy()].sum() == description["splits"][split]["bytes"]
        ordinary = ~torch.isin(tokens, torch.tensor(data.vocabulary.special_ids))
        assert ordinary.sum() == description["splits"][split]["tokens"]


def test_view_prefix_is_in_the_text(toy_package: Path, tmp_path: Path) -> None:
    data = toy_corpus(tmp_path)
    data.setup_for(PairView("find: ", "code: "))
    batch = next(iter(data.val_dataloader()))
    assert isinstance(batch, PairBatch)
    for side, prefix in ((batch.queries, "find: "), (batch.documents, "code: ")):
        ends = side.cu_seqlens.tolist()
        decoded = [data.tokenizer.decode(side.tokens[a:b].tolist()) for a, b in itertools.pairwise(ends)]
        assert all(text.startswith(prefix) for text in decoded)
    data.setup_for(TextView())
    assert isinstance(next(iter(data.val_dataloader())), PackedBatch), "another view is another data set"


def test_refused_views_name_the_data_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"TextCorpus has no pairs .*use PairData or PydocCorpus"):
        TextCorpus(TextSource("x.txt")).setup_for(PairView())
    with pytest.raises(ValueError, match="PairData has no running text: use TextCorpus or PydocCorpus"):
        PairData(PairSource("x.jsonl")).setup_for(TextView())


def test_model_without_a_view(toy_package: Path, tmp_path: Path) -> None:
    model = Recorder(TextView())
    del model.view
    with pytest.raises(ValueError, match="Recorder has no `view`"):
        trainer(tmp_path, max_epochs=1, enable_checkpointing=False).fit(model, toy_corpus(tmp_path))


def test_too_early_and_too_short() -> None:
    with pytest.raises(RuntimeError, match="prepare_data"):
        _ = PydocCorpus().tokenizer
    with pytest.raises(RuntimeError, match="setup_for"):
        PydocCorpus().train_dataloader()
    with pytest.raises(ValueError, match="max_length=4"):
        PydocCorpus(max_length=4)


def test_huge_and_empty_texts(write_lines: Callable[[str, list[str]], Path], tmp_path: Path) -> None:
    path = write_lines("train.txt", ["word " * 100_000, "", " ", "x"] + [f"line {n}" for n in range(200)])
    data = TextCorpus(TextSource(str(path)), WordLevel, cache_dir=str(tmp_path / "cache"))
    data.setup_for(TextView())
    splits = data.description["splits"].values()
    assert sum(split["dropped_empty"] for split in splits) == 2
    assert sum(split["tokens"] for split in splits) == 100_000 + 1 + 400
    assert all(len(batch.tokens) <= 8192 for batch in data.train_dataloader() if isinstance(batch, PackedBatch))


def test_stream_is_one_document(write_lines: Callable[[str, list[str]], Path], tmp_path: Path) -> None:
    lines = [f"{n} a" for n in range(500)]
    folder = write_lines("train.txt", lines).parent
    write_lines("valid.txt", lines[:9])
    write_lines("test.txt", [])
    write_lines("test.txt", ["", "a"])
    data = TextCorpus(TextSource(str(folder), documents="stream"), WordLevel, cache_dir=str(tmp_path / "cache"))
    data.setup_for(TextView())
    assert data.description["splits"]["train"] == {
        "documents": 1,
        "tokens": 1500,
        "bytes": sum(len(line) + 1 for line in lines),
        "windows": 12,
        "dropped_empty": 0,
    }
    assert data.description["splits"]["test"]["tokens"] == 3


def test_pairs_with_a_repeated_id(write_lines: Callable[[str, list[str]], Path], tmp_path: Path) -> None:
    rows = [json.dumps({"id": n % 300, "query": f"q {n}", "document": f"d {n}"}) for n in range(301)]
    path = write_lines("train.jsonl", rows)
    data = PairData(PairSource(str(path), id="id"), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="id '0' occurs twice"):
        data.setup_for(PairView())
    assert not (tmp_path / "cache").exists()
    without = PairData(PairSource(str(path)), lambda: WordPiece(200), cache_dir=str(tmp_path / "cache"))
    without.setup_for(PairView())
    assert sum(split["pairs"] for split in without.description["splits"].values()) == 301


def test_wikitext_counts_are_the_published_ones(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    source = TextSource(str(real_data / "Salesforce" / "wikitext"), "wikitext-2-v1", documents="stream")
    data = TextCorpus(source, WordLevel, cache_dir=str(tmp_path / "cache"))
    data.setup_for(TextView())
    tokens = [data.description["splits"][split]["tokens"] for split in ("train", "validation", "test")]
    assert tokens == [2_088_628, 217_646, 245_569]
    assert data.vocabulary.size == 33_278 + 5
