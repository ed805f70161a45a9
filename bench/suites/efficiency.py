"""Suite `efficiency`: what a model costs on the machine that measures it.

A time, a peak and an energy belong to one machine. The hardware is therefore the subset of these tasks: figures of two
machines are two columns and never rank against each other. The version of torch is part of the scoring, and the texts
are known by their hash. The size of a model is the same everywhere and has one column.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from bench.efficiency import latency, model_size, peak_memory, throughput, workload
from bench.efficiency.measured import Measured, hardware_of
from bench.protocols import Context, Encoder, Model, NotApplicableError, Outcome
from bench.records import DataCheck, ModelInfo, TaskInfo

VERSION = "1"  # of the way of measuring
QUERY_WORDS = 16
PASSAGE_WORDS = 128
MIXED_WORDS = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Measurement:
    """What a task measures.

    Args:
        name: of the task.
        metric: its main score, with the unit.
        higher_is_better: whether more of it is better.
        words: length of each text, in words.
        run: takes the encoder, the texts and the device.
        anywhere: whether the figure is the same on every machine.
    """

    name: str
    metric: str
    higher_is_better: bool
    words: Sequence[int]
    run: Callable[[Encoder, Sequence[str], str], Measured]
    anywhere: bool = False


MEASUREMENTS = (
    Measurement("EncodingLatency", "latency_p50_ms", False, [QUERY_WORDS] * 64, latency.measure),
    Measurement(
        "EncodingThroughput",
        "texts_per_second",
        True,
        list(itertools.islice(itertools.cycle(MIXED_WORDS), 512)),
        throughput.measure,
    ),
    Measurement("PeakMemory", "peak_memory_mb", False, [PASSAGE_WORDS] * 32, peak_memory.measure),
    Measurement("ModelSize", "model_mb", False, (), model_size.measure, anywhere=True),
)


class EfficiencyTask:
    """One measurement of an encoder.

    Args:
        measurement: what is measured.
        device: that the model will run on, such as `cpu` or `cuda:0`.
        documents: gives the texts that the workload is cut from, read when it is needed.
    """

    def __init__(self, measurement: Measurement, device: str, documents: Callable[[], Sequence[str]]) -> None:
        self._measurement = measurement
        self._device = device
        self._documents = documents
        self._workload: workload.Workload | None = None

    @property
    def info(self) -> TaskInfo:
        """Name, workload and hardware."""
        return self._info if self._workload is None else replace(self._info, rows=self._workload.rows)

    @cached_property
    def _info(self) -> TaskInfo:
        chosen = self._measurement
        anywhere = chosen.anywhere
        return TaskInfo(
            name=chosen.name,
            type="Efficiency",
            suite="efficiency",
            dataset="no data" if anywhere else "docstrings of the standard library",
            revision=workload.VERSION,
            split="test",
            subset="default" if anywhere else hardware_of(self._device),
            metric=chosen.metric,
            higher_is_better=chosen.higher_is_better,
            languages=("eng-Latn",),
            scoring=f"efficiency {VERSION}" if anywhere else f"efficiency {VERSION}, torch {torch.__version__}",
            check=DataCheck("unchecked", "made here"),
        )

    def prepare(self) -> None:
        """Make the workload."""
        if self._workload is None:
            words = self._measurement.words
            self._workload = workload.build(self._documents() if words else ["-"], words)

    def release(self) -> None:
        """Nothing: the workload is small, and `info` needs its hash."""

    def describe(self, model: Model) -> ModelInfo:
        """The encoder of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Measure, past every cache; no progress is drawn, because drawing would be measured too."""
        encoder = self._require(model)
        if context.workers.world_size > 1:
            raise NotApplicableError("measures one process: run it without --devices and --num_nodes")
        assert self._workload is not None, "prepare() comes first"
        with torch.inference_mode():
            measured = self._measurement.run(encoder, self._workload.texts, self._device)
        return Outcome(
            task=self.info,
            scores=measured.scores,
            encode_seconds=measured.seconds,
            texts=measured.texts,
            texts_encoded=measured.texts,
        )

    def _require(self, model: Model) -> Encoder:
        if model.encoder is None:
            raise NotApplicableError("needs an encoder of texts, which this model is not")
        return model.encoder


def tasks(device: str | None = None, cache_dir: str | Path | None = None) -> list[EfficiencyTask]:
    """All measurements.

    Args:
        device: that the models will run on; None takes the one that they would choose.
        cache_dir: of the embedded corpus; None takes its default.
    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return [EfficiencyTask(m, chosen, partial(workload.docstrings, cache_dir)) for m in MEASUREMENTS]
