"""Processes of gloo that train together do what one process does on all their pairs, in float64.

The module is also the script that the test runs: it is imported once, and its processes are forked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from zoo.contracts import PackedBatch, PairBatch
from zoo.data.tokenizers import WordLevel
from zoo.encoders import DenseEncoder
from zoo.layers.all_processes import counts_of_all, rows_of_all
from zoo.objectives import Contrastive, InfoNCE, Matryoshka

WORDS = [first + second for first in "bcdf" for second in "aeiou"]
NEGATIVES = 2
# pairs of each process
PAIRS = {"1": [4], "2": [4, 4], "4": [3, 3, 3, 3], "uneven": [3, 2, 4, 2]}
ALL = partial(InfoNCE, 0.05, learn_temperature=True, bidirectional=True, false_negative_margin=0.1)
LOSSES: dict[str, Callable[[int | None], Any]] = {
    "info-nce": lambda chunk_texts: partial(ALL, chunk_texts=chunk_texts),
    "matryoshka": lambda chunk_texts: partial(Matryoshka, [16, 4], [1.0, 0.5], partial(ALL, chunk_texts=chunk_texts)),
}
CHUNKS = [None, 2]


def texts(count: int, seed: int) -> list[list[int]]:
    """Few and short ones, so that some are the same on several processes."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 4, (count,), generator=random).tolist()
    return [torch.randint(5, 9, (length,), generator=random).tolist() for length in lengths]


def pairs(counts: list[int], first: int, last: int, step: int = 0) -> PairBatch:
    """The pairs of processes `first` to `last - 1` in one batch."""
    queries, documents, negatives = [], [], []
    for rank in range(first, last):
        queries += texts(counts[rank], 1000 * step + rank)
        documents += texts(counts[rank], 1000 * step + rank + 100)
        negatives += texts(counts[rank] * NEGATIVES, 1000 * step + rank + 200)
    return PairBatch(PackedBatch.from_sequences(queries), PackedBatch.from_sequences(documents + negatives))


def model(loss: Any) -> Contrastive:
    torch.manual_seed(0)
    made = Contrastive(
        16,
        encoder=partial(DenseEncoder, num_layers=1, num_heads=2),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        loss=loss,
    )
    made.build(WordLevel().build([" ".join(WORDS)]), 32)
    return made.double()


def gradients(loss: Any, batch: PairBatch) -> dict[str, Tensor]:
    """As DDP averages them, or of this process alone."""
    objective: Any = model(loss)
    objective.report = objective.count_tokens = lambda *arguments, **options: None
    objective.forward = lambda one: objective.training_step(one, 0)
    wrapped = DistributedDataParallel(objective) if dist.is_initialized() else objective
    wrapped(batch).backward()
    return {name: p.grad for name, p in objective.named_parameters() if p.requires_grad}


def trained(loss: Any, batches: list[PairBatch], world: int) -> dict[str, Tensor]:
    """Weights after two steps of Lightning, each of two batches, clipped."""
    objective = model(loss)
    options: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(
        **options,
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_steps=2,
        accumulate_grad_batches=2,
        gradient_clip_val=0.5,
        use_distributed_sampler=False,
    )
    trainer.fit(objective, train_dataloaders=DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return {name: tensor.detach() for name, tensor in objective.state_dict().items()}


def worker(rank: int, name: str, folder: Path) -> None:
    counts = PAIRS[name]
    world = len(counts)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store-{name}", rank=rank, world_size=world)
    found: dict[str, Any] = {}
    rows = torch.arange(float(counts[rank]), requires_grad=True)
    gathered = rows_of_all(rows[:, None] + 10 * rank)
    (gathered[:, 0] * torch.arange(len(gathered)) * (rank + 1)).sum().backward()
    found["rows"], found["counts"] = (gathered.detach(), rows.grad), counts_of_all(counts[rank], torch.device("cpu"))
    for kind, loss in LOSSES.items():
        for chunk_texts in CHUNKS:
            found[f"{kind}-{chunk_texts}"] = gradients(loss(chunk_texts), pairs(counts, rank, rank + 1))
    if name == "uneven":
        with pytest.raises(ValueError, match="2 texts of a process do not fill the 4 chunks that another one needs"):
            gradients(LOSSES["info-nce"](1), pairs(counts, rank, rank + 1))
    if name == "2":
        # how Lightning is told of processes that it did not start itself
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
        for chunk_texts in CHUNKS:
            batches = [pairs(counts, rank, rank + 1, step) for step in range(4)]
            found[f"lightning-{chunk_texts}"] = trained(LOSSES["info-nce"](chunk_texts), batches, world)
    torch.save(found, folder / f"{name}-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def alone(folder: Path) -> None:
    """The same without a process group, on all pairs at once."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, counts in PAIRS.items():
        for kind, loss in LOSSES.items():
            found[f"{name}-{kind}"] = gradients(loss(None), pairs(counts, 0, len(counts)))
    batches = [pairs(PAIRS["2"], 0, 2, step) for step in range(4)]
    found["lightning"] = trained(LOSSES["info-nce"](None), batches, 1)
    torch.save(found, folder / "alone.pt")


def main(folder: Path) -> None:
    """Run all processes; what they find lies in `folder`."""
    context = get_context("fork")
    groups = [[context.Process(target=alone, args=(folder,))]]
    groups += [
        [context.Process(target=worker, args=(rank, name, folder)) for rank in range(len(counts))]
        for name, counts in PAIRS.items()
    ]
    for processes in groups:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            sys.exit(1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each process found, by `name-rank`, and `alone`."""
    folder = tmp_path_factory.mktemp("gloo")
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {file.stem: torch.load(file, weights_only=True) for file in folder.glob("*.pt")}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name] - tensor).abs().max() <= 1e-10 * max(1e-3, float(tensor.abs().max())), name


@pytest.mark.parametrize("chunk_texts", CHUNKS)
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", PAIRS)
def test_gradient_is_that_of_one_process(name: str, kind: str, chunk_texts: int | None, found: dict[str, Any]) -> None:
    expected = found["alone"][f"{name}-{kind}"]
    assert all(gradient.any() for gradient in expected.values())
    for rank in range(len(PAIRS[name])):
        assert_same(found[f"{name}-{rank}"][f"{kind}-{chunk_texts}"], expected)


@pytest.mark.parametrize("chunk_texts", CHUNKS)
def test_lightning_trains_as_in_one_process(chunk_texts: int | None, found: dict[str, Any]) -> None:
    expected = found["alone"]["lightning"]
    start = model(LOSSES["info-nce"](None)).state_dict()
    assert not torch.equal(start["encoder.input_norm.weight"], expected["encoder.input_norm.weight"])
    for rank in (0, 1):
        assert_same(found[f"2-{rank}"][f"lightning-{chunk_texts}"], expected)
    assert expected["_tokens_seen"] == sum(
        len(side.tokens)
        for step in range(4)
        for batch in [pairs(PAIRS["2"], 0, 2, step)]
        for side in (batch.queries, batch.documents)
    )


@pytest.mark.parametrize("name", PAIRS)
def test_rows_of_all_processes(name: str, found: dict[str, Any]) -> None:
    counts = PAIRS[name]
    expected = torch.cat([torch.arange(float(n)) + 10 * rank for rank, n in enumerate(counts)])
    weights = torch.arange(float(len(expected))) * sum(range(1, len(counts) + 1))
    for rank, part in enumerate(weights.split(counts)):
        gathered, gradient = found[f"{name}-{rank}"]["rows"]
        assert torch.equal(gathered[:, 0], expected)
        assert torch.equal(gradient, part), "the sum of what all processes' losses give"
        assert found[f"{name}-{rank}"]["counts"] == counts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
