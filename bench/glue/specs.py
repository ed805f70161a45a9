"""The tasks of GLUE: where their rows are, how they are scored, and how test predictions are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PATH = "nyu-mll/glue"
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"


@dataclass(frozen=True, kw_only=True)
class GlueSpec:
    """One task.

    Args:
        name: of the task here.
        config: name of its data on the hub.
        columns: of the one or two texts.
        metrics: names of its official metrics; the main score is their mean.
        sizes: rows of each split in the official release.
        labels: the words that a submission has instead of 0, 1, ..., None where it has the numbers themselves.
        num_labels: classes, 1 for a regression.
        validation: the split that is scored.
        tests: the file of a submission, by the config and split that it is predicted for.
    """

    name: str
    config: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    sizes: Mapping[str, int]
    tests: Mapping[tuple[str, str], str]
    labels: tuple[str, ...] | None = None
    num_labels: int = 2
    validation: str = "validation"

    @property
    def metric(self) -> str:
        """Name of the main score.

        Example:
            >>> SPECS["MRPC"].metric, SPECS["CoLA"].metric
            ('mean_of_f1_and_accuracy', 'mcc')
        """
        return self.metrics[0] if len(self.metrics) == 1 else f"mean_of_{'_and_'.join(self.metrics)}"


_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_SENTENCES = ("sentence1", "sentence2")


def _sizes(train: int, validation: int, test: int) -> Mapping[str, int]:
    return {"train": train, "validation": validation, "test": test}


def _mnli(name: str, side: str, size: int, tests: Mapping[tuple[str, str], str]) -> GlueSpec:
    return GlueSpec(
        name=name,
        config="mnli",
        columns=("premise", "hypothesis"),
        metrics=("accuracy",),
        sizes={"train": 392702, f"validation_{side}": size},
        labels=_NLI,
        num_labels=3,
        validation=f"validation_{side}",
        tests=tests,
    )


_ALL = (
    GlueSpec(
        name="CoLA",
        config="cola",
        columns=("sentence",),
        metrics=("mcc",),
        sizes=_sizes(8551, 1043, 1063),
        tests={("cola", "test"): "CoLA.tsv"},
    ),
    GlueSpec(
        name="SST-2",
        config="sst2",
        columns=("sentence",),
        metrics=("accuracy",),
        sizes=_sizes(67349, 872, 1821),
        tests={("sst2", "test"): "SST-2.tsv"},
    ),
    GlueSpec(
        name="MRPC",
        config="mrpc",
        columns=_SENTENCES,
        metrics=("f1", "accuracy"),
        sizes=_sizes(3668, 408, 1725),
        tests={("mrpc", "test"): "MRPC.tsv"},
    ),
    GlueSpec(
        name="STS-B",
        config="stsb",
        columns=_SENTENCES,
        metrics=("pearson", "spearman"),
        sizes=_sizes(5749, 1500, 1379),
        num_labels=1,
        tests={("stsb", "test"): "STS-B.tsv"},
    ),
    GlueSpec(
        name="QQP",
        config="qqp",
        columns=("question1", "question2"),
        metrics=("f1", "accuracy"),
        sizes=_sizes(363846, 40430, 390965),
        tests={("qqp", "test"): "QQP.tsv"},
    ),
    # The diagnostic set has no rows to train on: the model of MNLI answers it.
    _mnli("MNLI-m", "matched", 9815, {("mnli", "test_matched"): "MNLI-m.tsv", ("ax", "test"): "AX.tsv"}),
    _mnli("MNLI-mm", "mismatched", 9832, {("mnli", "test_mismatched"): "MNLI-mm.tsv"}),
    GlueSpec(
        name="QNLI",
        config="qnli",
        columns=("question", "sentence"),
        metrics=("accuracy",),
        sizes=_sizes(104743, 5463, 5463),
        labels=_ENTAILMENT,
        tests={("qnli", "test"): "QNLI.tsv"},
    ),
    GlueSpec(
        name="RTE",
        config="rte",
        columns=_SENTENCES,
        metrics=("accuracy",),
        sizes=_sizes(2490, 277, 3000),
        labels=_ENTAILMENT,
        tests={("rte", "test"): "RTE.tsv"},
    ),
    GlueSpec(
        name="WNLI",
        config="wnli",
        columns=_SENTENCES,
        metrics=("accuracy",),
        sizes=_sizes(635, 71, 146),
        tests={("wnli", "test"): "WNLI.tsv"},
    ),
)
SPECS: Mapping[str, GlueSpec] = {spec.name: spec for spec in _ALL}
