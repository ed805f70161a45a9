"""Models out of checkpoints, and what identifies and describes one."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer

from zoo.contracts import JsonDict, SelfUpdating, Vocabulary
from zoo.objectives.objective import Objective
from zoo.weights import find, hash_of, read


def load(path: str | Path) -> Objective:
    """The trained objective, built, with its weights, in evaluation mode on the CPU.

    Args:
        path: run folder or checkpoint file.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it cannot be read, or was saved from Python without a configuration.
    """
    content = read(path)
    header = content["zoo"]
    if header["model"] is None:
        raise ValueError(
            f"{find(path)} was saved from Python and names no classes: build the same {header['class_name']} yourself "
            "and call load_state_dict"
        )
    objective = instantiate(header["model"])
    objective.resolved_config, objective.run_facts = header["model"], header["run"]
    objective.build(Tokenizer.from_str(header["tokenizer"]), header["max_length"])
    objective.load_state_dict(content["state_dict"])
    objective.token_counts = header.get("token_counts")
    return objective.eval()


def instantiate(config: JsonDict) -> Objective:
    """The objective that a resolved `model` configuration (class_path, init_args) describes, not built yet."""
    from jsonargparse import ArgumentParser

    # the variants must be imported before their names mean anything
    import zoo.variants  # noqa: F401

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Objective, "model")
    objective = parser.instantiate(parser.parse_object({"model": config})).model
    assert isinstance(objective, Objective)
    return objective


def parts(objective: Objective) -> dict[str, str]:
    """SHA-256 of the weights and of the tokenizer, hexadecimal, wherever the objective lies."""
    tokenizer = Vocabulary.fingerprint_of(objective.tokenizer.to_str())
    return {"weights": hash_of(objective.state_dict()), "tokenizer": tokenizer}


def _facts(objective: Objective) -> JsonDict:
    return {name: value for name, value in objective.run_facts.items() if name != "config"}


def _config(objective: Objective) -> JsonDict | None:
    """The whole resolved configuration of the run; of a run from Python as much as is known."""
    if "config" in objective.run_facts:
        whole: JsonDict = objective.run_facts["config"]
        return whole
    return None if objective.resolved_config is None else {"model": objective.resolved_config}


def describe(objective: Objective) -> JsonDict:
    """Sizes by part, axes, configuration and training facts of a built objective, as JSON values."""
    parts = {name: _count(objective, name) for name in ("embedding", "encoder", "head")}
    weights = _weights(objective).values()
    return {
        "parameters": {"total": sum(number for number, _ in weights), **parts},
        "bytes": sum(size for _, size in weights),
        "axes": _axes(objective),
        "config": _config(objective),
        "training": _facts(objective) | {"tokens_seen": objective.tokens_seen},
    }


def _weights(module: torch.nn.Module) -> dict[int, tuple[int, int]]:
    """Trained numbers and their bytes, by parameter; what steps itself counts as one."""
    found = {id(p): (p.numel(), p.numel() * p.element_size()) for p in module.parameters()}
    for part in module.modules():
        if isinstance(part, SelfUpdating):
            found[id(part)] = part.num_own_weights, sum(b.numel() * b.element_size() for b in part.buffers())
    return found


def _count(objective: Objective, part: str) -> int:
    """Parameters of a part; what the head shares with the embedding is counted with the embedding."""
    module = getattr(objective, part, None)
    if module is None:
        return 0
    shared = _weights(objective.embedding) if part == "head" else {}
    return sum(number for key, (number, _) in _weights(module).items() if key not in shared)


def _axes(objective: Objective) -> JsonDict:
    axes: JsonDict = {"objective": type(objective).__name__}
    for part in ("embedding", "encoder", "head"):
        module = getattr(objective, part, None)
        axes[part] = None if module is None else type(module).__name__
    chosen = (objective.resolved_config or {}).get("init_args", {})
    for part in ("optimizer", "schedule"):
        axes[part] = chosen[part]["class_path"].rpartition(".")[2] if part in chosen else None
    axes["data"] = objective.run_facts.get("data")
    return axes
