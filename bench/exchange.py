"""Records to mteb's own result layout, `results/<model>/<revision>/<Task>.json`, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mteb
from mteb.results import TaskResult

from bench import records
from bench.adapters import model_meta
from bench.records import DataCheck, Evaluation, ModelInfo, Record, Scores, TaskInfo
from bench.suites.mteb_task import flatten
from zoo.data.cache import atomic_path

_META = "model_meta.json"
_SUITE = "mteb"


@dataclass(frozen=True)
class ExchangeReport:
    """What an export or an import did.

    Args:
        written: files.
        left_out: what was not written on purpose, and why.
        problems: files that cannot be used, and why.
    """

    written: tuple[Path, ...]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]


def export(results_dir: str | Path, out: str | Path) -> ExchangeReport:
    """Write the records of official mteb tasks so that `mteb.ResultCache(out)` loads them.

    Numbers are the same; lists of single experiments and undefined scores, which records do not keep, are missing. The
    revision is ours: the hash of what decides the model's output. Of several records of one task the newest is written.

    Args:
        results_dir: of the records.
        out: folder to write to; what it holds of the same model, revision and task is replaced.

    Raises:
        FileNotFoundError: if `results_dir` is not there.
        OSError: if a file cannot be written.
    """
    found, problems = records.load_all(results_dir)
    left_out = [_name(record) + ": not an official task of mteb" for record in found if record.task.suite != _SUITE]
    newest: dict[Path, Record] = {}
    for record in sorted(found, key=lambda r: datetime.fromisoformat(r.evaluation.started)):
        if record.task.suite == _SUITE:
            path = _path(Path(out), record)
            if path in newest:
                left_out.append(f"{_name(newest[path])} of {newest[path].evaluation.started}: there is a newer record")
            newest[path] = record
    for path, record in newest.items():
        _write(path, _result(record).to_dict())
        _write(path.with_name(_META), model_meta_of(record.model).to_dict())
    return ExchangeReport(tuple(newest), tuple(left_out), tuple(problem.message for problem in problems))


def import_results(folder: str | Path, results_dir: str | Path) -> ExchangeReport:
    """Write results in the layout of mteb as records of kind `imported`; no record is ever replaced.

    Args:
        folder: with the folder `results` of mteb in it, or that folder itself.
        results_dir: where the records go.

    Raises:
        FileNotFoundError: if `folder` is not there.
        OSError: if a record cannot be written.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; name one that holds results of mteb")
    root = root / "results" if (root / "results").is_dir() else root
    own = _revisions(results_dir)
    written, left_out, problems = [], [], []
    for path in sorted(root.glob("*/*/*.json")):
        if path.name == _META:
            continue
        try:
            record = _record(path)
        except (OSError, KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}: no result of a task that mteb {version('mteb')} knows ({_one_line(error)})")
            continue
        home = records.path_of(results_dir, record.model, record.task)
        if record.model.parts["revision"] in own:
            left_out.append(f"{path}: it was exported from these records")
        elif home.exists():
            left_out.append(f"{path}: {home} is there already")
        else:
            written.append(records.write(record, results_dir))
    return ExchangeReport(tuple(written), tuple(left_out), tuple(problems))


def model_meta_of(info: ModelInfo) -> Any:
    """Description of a model for mteb: under its hub name if it has one, else below `zoo/`."""
    meta = model_meta(info)
    if info.kind == "imported":
        return meta.model_copy(update={"name": info.parts["mteb"], "revision": info.parts["revision"]})
    hub_name = info.source if info.source and "/" in info.source else None
    return meta.model_copy(update={"name": hub_name}) if hub_name else meta


def _path(out: Path, record: Record) -> Path:
    cache = mteb.ResultCache(cache_path=out)
    return Path(cache.get_task_result_path(record.task.name, model_meta_of(record.model)))


def _result(record: Record) -> TaskResult:
    scoring = record.task.scoring.removeprefix("mteb ")
    return TaskResult(
        dataset_revision=record.task.revision,
        task_name=record.task.name,
        mteb_version=scoring,
        scores=_nested(record),
        evaluation_time=record.evaluation.seconds,
        kg_co2_emissions=None,
        date=datetime.fromisoformat(record.evaluation.started),
    )


def _nested(record: Record) -> dict[str, list[dict[str, Any]]]:
    """The flat scores by split and subset, with the languages of each subset."""
    languages = _languages(record.task)
    parts: dict[tuple[str, str], dict[str, Any]] = {}
    for name, value in record.scores.all.items():
        split, subset, metric = _place(name, record.task)
        parts.setdefault((split, subset), {})[metric] = value
    nested: dict[str, list[dict[str, Any]]] = {}
    for (split, subset), scores in parts.items():
        facts = {"hf_subset": subset, "languages": languages.get(subset, list(record.task.languages))}
        nested.setdefault(split, []).append({**scores, **facts})
    return nested


def _place(name: str, task: TaskInfo) -> tuple[str, str, str]:
    """Split, subset and metric of a flat name; see `bench.suites.mteb_task.flatten`."""
    if "/" not in name:
        return task.split, task.subset, name
    split, rest = name.split("/", 1)
    subset, metric = rest.rsplit("/", 1)
    return split, subset, metric


def _languages(task: TaskInfo) -> dict[str, list[str]]:
    try:
        return dict(mteb.get_task(task.name).metadata.hf_subsets_to_langscripts)
    except KeyError:  # a task of an older mteb; the record knows the languages of all subsets together
        return {}


def _record(path: Path) -> Record:
    result = TaskResult.from_disk(path)
    task = mteb.get_task(result.task_name)
    name, revision, facts = _model(path.parent)
    subsets = list(dict.fromkeys(part["hf_subset"] for parts in result.scores.values() for part in parts))
    by_subset = task.metadata.hf_subsets_to_langscripts
    main = float(result.get_score())
    if not math.isfinite(main):
        raise ValueError(f"its main score is {main}")
    model = ModelInfo(
        name=name,
        parts={"mteb": name, "revision": revision},
        kind="imported",
        dtype="unknown",
        dim=_whole(facts.get("embed_dim")),
        max_length=_whole(facts.get("max_tokens")),
    )
    info = TaskInfo(
        name=result.task_name,
        type=task.metadata.type,
        suite=_SUITE,
        dataset=task.metadata.dataset["path"],
        revision=result.dataset_revision,
        split="+".join(result.scores),
        subset="+".join(subsets),
        metric=task.metadata.main_score,
        higher_is_better=True,
        languages=tuple(sorted({code for subset in subsets for code in by_subset.get(subset, ())})),
        scoring=f"mteb {result.mteb_version}",
        check=DataCheck("unchecked", "imported: the data was not seen"),
    )
    absent = {"interval": "imported: mteb keeps no values of single examples"}
    return Record(model, info, Scores(main, flatten(result.scores), absent=absent), _evaluation(path, result))


def _evaluation(path: Path, result: TaskResult) -> Evaluation:
    date = result.date or datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Evaluation(
        started=(date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat(timespec="seconds"),
        seconds=float(result.evaluation_time or 0),
        encode_seconds=0.0,
        texts=0,
        texts_encoded=0,
        devices=1,
        hardware={},
        versions={"mteb": result.mteb_version},
    )


def _model(folder: Path) -> tuple[str, str, Mapping[str, Any]]:
    """Name, revision and description, from `model_meta.json` or, in old results, from the names of the folders."""
    try:
        facts = json.loads((folder / _META).read_bytes())
    except FileNotFoundError:
        return folder.parent.name.replace("__", "/"), folder.name, {}
    return str(facts["name"]), str(facts["revision"]), facts


def _revisions(results_dir: str | Path) -> set[str]:
    if not Path(results_dir).is_dir():
        return set()
    return {record.model.revision for record in records.load_all(results_dir)[0]}


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _name(record: Record) -> str:
    return f"{record.model.name}  {record.task.name}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
        partial.chmod(0o644)
