"""Parameter groups by role, so that an optimizer sees roles and never models."""

from __future__ import annotations

from typing import Any

from torch import nn


def by_role(module: nn.Module) -> list[dict[str, Any]]:
    """Groups of the trainable parameters of `module`, each with its `role`, empty roles left out.

    `vocabulary`: matrices held by a module whose `parameter_role` says so (embeddings and output tables);
    `matrix`: every other parameter of two or more dimensions; `vector`: biases and gains, which are never decayed.
    A role belongs to the module that holds the parameter: sharding replaces parameters and drops their attributes.

    Args:
        module: the model; a parameter that two modules share is listed once and must have one role.

    Raises:
        ValueError: if a shared parameter has two roles, or nothing is trainable.

    Example:
        >>> from torch import nn
        >>> [(g["role"], len(g["params"])) for g in by_role(nn.Linear(3, 4))]
        [('matrix', 1), ('vector', 1)]
    """
    roles: dict[nn.Parameter, str] = {}
    names: dict[nn.Parameter, str] = {}
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(prefix, recurse=False):
            if not parameter.requires_grad:
                continue
            role = _role(owner, parameter)
            if roles.setdefault(parameter, role) != role:
                raise ValueError(
                    f"{name} and {names[parameter]} are one parameter with two roles, {role} and {roles[parameter]}: "
                    "give their modules the same parameter_role"
                )
            names.setdefault(parameter, name)
    assert set(roles) == {p for p in module.parameters() if p.requires_grad}, "a parameter has no role"
    if not roles:
        raise ValueError("the model has no trainable parameter: unfreeze at least one")
    groups: list[dict[str, Any]] = []
    for role in ("vocabulary", "matrix", "vector"):
        parameters = [p for p, r in roles.items() if r == role]
        if parameters:
            decay = {"weight_decay": 0.0} if role == "vector" else {}
            groups.append({"role": role, "params": parameters, **decay})
    return groups


def _role(owner: nn.Module, parameter: nn.Parameter) -> str:
    if parameter.ndim < 2:
        return "vector"
    return str(getattr(owner, "parameter_role", "matrix"))
