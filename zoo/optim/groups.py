"""Parameter groups by role, so that an optimizer sees roles and never models."""

from __future__ import annotations

from typing import Any

from torch import nn

_SIDES = {(True, False): "input", (False, True): "output", (True, True): "tied"}
_SideGroup = tuple[str, bool]


def by_role(module: nn.Module) -> list[dict[str, Any]]:
    """Groups of the trainable parameters of `module`, each with its `role`, empty roles left out.

    `vocabulary`: matrices held by a module whose `parameter_role` says so (embeddings and output tables);
    `matrix`: every other parameter of two or more dimensions; `vector`: biases and gains.
    A stack of copies has the role of one copy: the `stacked_dims` of its module are the leading dimensions that number
    them.
    A module with an `own_learning_rate` steps weights of its own that are no parameters: it has a group of role `own`
    without parameters, whose learning rate a schedule changes like any other.
    Vectors and vocabularies have `weight_decay` 0: decay would pull rare rows, which get no gradient, to 0.
    A role belongs to the module that holds the parameter: sharding replaces parameters and drops their attributes.

    Each group with parameters says in `layers` the layer of each: 1 to L in what a module holds as its list of
    `layers`; 0 in embeddings and in the `input_parts` of that module, the names of what it does before the first
    layer; L elsewhere.

    A group of role `vocabulary` says more of its parameters:

    - `side`: `input` (looked up only), `output` (multiplied with hidden vectors only) or `tied`, after the
      `vocabulary_side` of the modules above them. Without such a module it is `input`.
    - `table_rows`: for each parameter the rows of the tables that lie in it one after the other; what lies behind
      them is padding. Read off the holder's `table_rows`; None is one table of all rows.
    - `zero_sum`: whether every loss that reads them promises a gradient that sums to 0 over the rows (`zero_sum` of
      the modules of the output side), and the tables around them pass it on (`keeps_zero_sum`).

    Args:
        module: the model; a parameter that two modules share is listed once and must have one role.

    Raises:
        ValueError: if a shared parameter has two roles, or nothing is trainable.

    Example:
        >>> from torch import nn
        >>> [(g["role"], len(g["params"])) for g in by_role(nn.Linear(3, 4))]
        [('matrix', 1), ('vector', 1)]
    """
    owners = _owners(module)
    groups: list[dict[str, Any]] = _vocabulary_groups(module, owners)
    for owner in module.modules():
        if hasattr(owner, "own_learning_rate"):
            groups.append({"role": "own", "params": [], "lr": owner.own_learning_rate})
    for role in ("matrix", "vector"):
        parameters = [p for p, owner in owners.items() if _role(owner, p) == role]
        if parameters:
            decay = {"weight_decay": 0.0} if role == "vector" else {}
            groups.append({"role": role, "params": parameters, **decay})
    depths = _depths(module)
    last = max(depths.values(), default=0)
    for group in groups:
        if group["params"]:
            group["layers"] = [depths.get(parameter, last) for parameter in group["params"]]
    return groups


def _depths(module: nn.Module) -> dict[nn.Parameter, int]:
    """Layer of each parameter that is in a layer or before the first."""
    depths: dict[nn.Parameter, int] = {}
    for owner in module.modules():
        layers = getattr(owner, "layers", None)
        if isinstance(layers, nn.ModuleList):
            for depth, layer in enumerate(layers, start=1):
                depths |= {p: depth for p in layer.parameters() if p not in depths}
            for name in getattr(owner, "input_parts", ()):
                depths |= dict.fromkeys(owner.get_submodule(name).parameters(), 0)
        if getattr(owner, "vocabulary_side", None) == "input":
            depths |= dict.fromkeys(owner.parameters(), 0)
    return depths


def _owners(module: nn.Module) -> dict[nn.Parameter, nn.Module]:
    """The first module that holds each trainable parameter."""
    owners: dict[nn.Parameter, nn.Module] = {}
    names: dict[nn.Parameter, str] = {}
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(prefix, recurse=False):
            if not parameter.requires_grad:
                continue
            role, first = _role(owner, parameter), _role(owners.setdefault(parameter, owner), parameter)
            if role != first:
                raise ValueError(
                    f"{name} and {names[parameter]} are one parameter with two roles, {role} and {first}: "
                    "give their modules the same parameter_role"
                )
            names.setdefault(parameter, name)
    assert set(owners) == {p for p in module.parameters() if p.requires_grad}, "a parameter has no role"
    if not owners:
        raise ValueError("the model has no trainable parameter: unfreeze at least one")
    return owners


def _vocabulary_groups(module: nn.Module, owners: dict[nn.Parameter, nn.Module]) -> list[dict[str, Any]]:
    """One group for each side and promise that occurs."""
    readers: dict[nn.Parameter, list[nn.Module]] = {}
    for reader in module.modules():
        if hasattr(reader, "vocabulary_side"):
            for parameter in reader.parameters():
                readers.setdefault(parameter, []).append(reader)
    void = {p for table in module.modules() if not getattr(table, "keeps_zero_sum", True) for p in table.parameters()}
    groups: dict[_SideGroup, dict[str, Any]] = {}
    for parameter, owner in owners.items():
        if _role(owner, parameter) != "vocabulary":
            continue
        around = readers.get(parameter, [])
        outputs = [reader for reader in around if reader.vocabulary_side == "output"]
        side = _SIDES[len(outputs) < len(around) or not around, bool(outputs)]
        promised = bool(outputs) and all(getattr(reader, "zero_sum", False) for reader in outputs)
        zero_sum = promised and parameter not in void
        new = {"role": "vocabulary", "side": side, "zero_sum": zero_sum, "weight_decay": 0.0}
        group = groups.setdefault((side, zero_sum), {**new, "params": [], "table_rows": []})
        group["params"].append(parameter)
        group["table_rows"].append(getattr(owner, "table_rows", None))
    return [groups[key] for key in sorted(groups)]


def _role(owner: nn.Module, parameter: nn.Parameter) -> str:
    if parameter.ndim - getattr(owner, "stacked_dims", 0) < 2:
        return "vector"
    return str(getattr(owner, "parameter_role", "matrix"))
