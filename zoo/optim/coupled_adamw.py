"""Coupled Adam: one second moment for all rows of a vocabulary table."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer

from zoo.optim.table_rows import TableRows, local, row_blocks, sums, sums_of_squares

Couple = Literal["output", "input", "both"]
_SIDES: Mapping[Couple, tuple[str, ...]] = {
    "output": ("output", "tied"),
    "input": ("input", "tied"),
    "both": ("input", "output", "tied"),
}
# What a group is, as opposed to how it is trained: never taken out of a saved state.
_STRUCTURE = ("role", "side", "table_rows", "zero_sum", "coupled")


class CoupledAdamW(Optimizer):
    """AdamW in which all rows of a vocabulary table share the mean of their second moments.

    For a coupled table of V rows, gradient rows g_i, moments m_i, elementwise in each of the H columns:

        m_i <- b1 m_i + (1 - b1) g_i
        s   <- b2 s + (1 - b2) (1/V) sum_i g_i^2
        e_i <- (1 - lr wd) e_i - lr / (1 - b1^t) m_i / (sqrt(2^-n s / (1 - b2^t)) + eps)

    s is one vector of H numbers. The paper keeps a second moment of V x H and averages it anew each step; both are
    linear in g^2, so they are the same algorithm. Under a softmax the gradient sums to 0 over the rows of the output
    table, and with one denominator for all rows the update does too: the mean of the rows stays where it was, whereas
    Adam moves it. All other parameters are trained by `torch.optim.AdamW`.

    A table may be a `DTensor` of `fully_shard` or of tensor parallelism, by rows or columns: H numbers are exchanged.

    Args:
        params: groups of `zoo.optim.groups.by_role`.
        lr: learning rate.
        betas: b1 and b2.
        eps: added to the root.
        weight_decay: of matrices, decoupled, times lr.
        table_weight_decay: of the rows of vocabulary tables; it shrinks their mean too.
        couple: `output` tables (tied ones are output tables), `input` tables, or `both`.
        scale_exponent: n; the shared second moment is multiplied by 2^-n, which lengthens the steps of the table by
            2^(n/2).
        fused: torch's fused AdamW for the other parameters and, on an accelerator, compiled kernels for the tables;
            None and False leave both to torch's usual choice. On a CPU a table is always updated block by block of
            rows that fit in the cache.
        capturable: keep the step on the device, for CUDA graphs.
        amsgrad: refused; the maximum of a mean is not the mean of maxima.

    Raises:
        ValueError: if no table is coupled, or for amsgrad, sparse gradients, `capturable` on a CPU, a learning rate of
            more than one number, or a table that is no matrix.

    References:
        F. Stollenwerk and T. Stollenwerk, Better Embeddings with Coupled Adam, arXiv 2502.08441, sections 3 and 4.
        The vector as state: Kalra et al., When Can You Get Away with Low Memory Adam?, arXiv 2503.01843 (SlimAdam).

    Differs from the paper:
        State is H numbers, not V x H. Rows that pad a table are left out of the mean.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        table_weight_decay: float = 0.0,
        couple: Couple = "output",
        scale_exponent: float = 0.0,
        fused: bool | None = None,
        capturable: bool = False,
        amsgrad: bool = False,
    ) -> None:
        if couple not in _SIDES:
            raise ValueError(f"couple={couple!r}: write {', '.join(_SIDES)}")
        self._couple, self._table_weight_decay = couple, table_weight_decay
        # two optimizers read the groups, and parameters may come as a generator
        groups = [{**group, "params": list(group["params"])} if isinstance(group, dict) else group for group in params]
        copies = [dict(group) if isinstance(group, dict) else group for group in groups]
        adamw = functools.partial(AdamW, copies, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self._adamw = adamw(fused=fused or None, capturable=capturable, amsgrad=amsgrad)
        super().__init__(groups, {**self._adamw.defaults, "coupled": False, "scale_exponent": scale_exponent})
        self._require_tables()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take one more group of `by_role`; a table is coupled as the constructor was told."""
        if not isinstance(param_group, dict) or "role" not in param_group:
            raise ValueError("CoupledAdamW must know which parameters are tables: pass zoo.optim.groups.by_role(model)")
        group = dict(param_group)
        if group["role"] == "vocabulary":
            group |= {"coupled": group["side"] in _SIDES[self._couple], "weight_decay": self._table_weight_decay}
        super().add_param_group(group)
        _check(group)

    def _require_tables(self) -> None:
        tables = [group for group in self.param_groups if group["role"] == "vocabulary"]
        sides = sorted({group["side"] for group in tables})
        if not any(group["coupled"] for group in tables):
            there = f"has {' and '.join(sides)} tables only" if sides else "has no vocabulary table"
            fix = "set couple: input, or use AdamW" if "input" in sides else "use AdamW"
            raise ValueError(f"CoupledAdamW with couple={self._couple} finds no table; the model {there}: {fix}")
        if any(group["coupled"] and group["side"] != "input" and not group["zero_sum"] for group in tables):
            warnings.warn(
                "the head's loss, or a table with own_rows, does not promise a gradient that sums to 0 over the rows: "
                "coupling changes the size of its steps and does not keep the mean of its rows",
                stacklevel=3,
            )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs beside what the base class keeps."""
        own = ("_adamw", "_couple", "_table_weight_decay")
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient.

        Raises:
            ValueError: for a sparse gradient of a coupled table.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._adamw.param_groups = [group for group in self.param_groups if not group["coupled"]]
        self._adamw.state = self.state
        self._adamw.step()
        for group in self.param_groups:
            if group["coupled"]:
                for parameter, rows in zip(group["params"], group["table_rows"], strict=True):
                    if parameter.grad is not None:
                        self._step_table(parameter, TableRows(parameter, rows), group)
        return loss

    def _step_table(self, parameter: Tensor, rows: TableRows, group: Mapping[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.is_sparse:
            raise ValueError("CoupledAdamW needs dense gradients: build the embedding with sparse=False")
        if isinstance(gradient, DTensor) and isinstance(parameter, DTensor):
            gradient = gradient.redistribute(placements=parameter.placements)
        compiled = bool(group["fused"]) and parameter.device.type != "cpu"
        state = self.state[parameter]
        beta1, beta2 = group["betas"]
        squares = rows.mean(gradient, _compiled_squares() if compiled else sums_of_squares)
        if not state:
            state["step"] = torch.zeros((), device=parameter.device if group["capturable"] else "cpu")
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = rows.like_columns(torch.zeros_like(squares), parameter)
        state["step"] += 1
        moment = local(state["exp_avg_sq"])
        moment.lerp_(squares, 1 - beta2)
        step = state["step"] if group["capturable"] else float(state["step"])
        mean_square = moment * 2.0 ** -group["scale_exponent"] / (1 - beta2**step)
        factors = -group["lr"] / (1 - beta1**step) / (mean_square.sqrt() + group["eps"])
        keep = 1 - group["lr"] * group["weight_decay"]
        if compiled and not isinstance(keep, Tensor):  # a number that changes with the schedule would be compiled in
            keep = torch.full((), keep, device=parameter.device)
        update = _compiled_update() if compiled else _update
        tensors = [local(tensor) for tensor in (parameter, gradient, state["exp_avg"])]
        for where, factor in zip(_with_padding(rows.slices, len(tensors[0])), [*factors, factors[-1]], strict=True):
            for block in row_blocks(*(tensor[where] for tensor in tensors)):
                update(block, factor, keep, 1 - beta1)

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state of this class, or of an AdamW over the same groups.

        The second moment of AdamW is averaged over the rows, which is what this class would hold in its place.

        Raises:
            ValueError: if the state is of amsgrad, or of a configuration that couples other tables.
        """
        self._check_state(state_dict)
        own = [{name: value for name, value in group.items() if name != "params"} for group in self.param_groups]
        super().load_state_dict(state_dict)
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        for group, before in zip(self.param_groups, own, strict=True):
            group.update({name: v for name, v in before.items() if name in _STRUCTURE or name not in group})
        pairs = [(p, group, i) for group in self.param_groups for i, p in enumerate(group["params"])]
        for (parameter, group, i), index in zip(pairs, saved, strict=True):
            if "exp_avg_sq" not in self.state[parameter]:
                self.state.pop(parameter)
                continue
            moment = state_dict["state"][index]["exp_avg_sq"]
            if group["coupled"]:
                rows = TableRows(parameter, group["table_rows"][i])
                if moment.shape == parameter.shape:
                    moment = rows.like_columns(rows.mean(moment, sums), parameter)
                # the base class casts state to the type of the parameter, too coarse for a sum of squares
                dtype = torch.promote_types(parameter.dtype, torch.float32)
                self.state[parameter]["exp_avg_sq"] = moment.to(parameter.device, dtype, copy=True)

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse what cannot be gone on from, before anything is changed."""
        if any("max_exp_avg_sq" in state for state in state_dict["state"].values()):
            raise ValueError("the saved state is of amsgrad, which has no coupled form: start the optimizer anew")
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        here = [(parameter, group) for group in self.param_groups for parameter in group["params"]]
        for (parameter, group), index in zip(here, saved, strict=False):  # the base class compares the numbers
            state = state_dict["state"].get(index, {})
            if "exp_avg_sq" not in state:
                continue
            if isinstance(parameter, DTensor) != isinstance(state["exp_avg"], DTensor):
                raise ValueError(
                    "the saved state and the parameters are not sharded alike: load it by "
                    "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
                )
            if not group["coupled"] and state["exp_avg_sq"].shape != parameter.shape:
                raise ValueError(
                    "the saved optimizer couples a table that this one does not: set couple as it was when saving"
                )

    def adamw_state_dict(self) -> dict[str, Any]:
        """A state that `torch.optim.AdamW` over the same groups goes on from; each row gets the shared second moment.

        AdamW's first steps are then those of this class; its rows grow apart as it forgets, in some 1 / (1 - b2) steps.
        """
        state = self.state_dict()
        parameters = [(p, group["scale_exponent"]) for group in self.param_groups for p in group["params"]]
        for index, values in state["state"].items():
            moment, (parameter, exponent) = values["exp_avg_sq"], parameters[index]
            if isinstance(parameter, DTensor):
                raise ValueError("tables are sharded: convert the state in a single process")
            if moment.shape != parameter.shape:
                moment = moment * 2.0**-exponent
                spread = moment.repeat_interleave(torch.tensor(self._rows_of(parameter)), dim=0)
                padding = moment[-1:].expand(parameter.shape[0] - len(spread), -1)
                state["state"][index] = values | {"exp_avg_sq": torch.cat([spread, padding]).to(parameter.dtype)}
        return state

    def _rows_of(self, parameter: Tensor) -> tuple[int, ...]:
        for group in self.param_groups:
            for one, rows in zip(group["params"], group.get("table_rows", ()), strict=False):
                if one is parameter:
                    return TableRows(parameter, rows).rows
        raise AssertionError("only tables of a group have a shared second moment")


def _check(group: Mapping[str, Any]) -> None:
    if group["amsgrad"]:
        raise ValueError("CoupledAdamW has no amsgrad: the maximum of a mean is not the mean of maxima; leave it out")
    on_cpu = any(p.device.type == "cpu" for p in group["params"])
    if group["capturable"] and on_cpu:
        raise ValueError("capturable is for CUDA graphs and the parameters are on the CPU: leave it out")
    if group["coupled"]:
        for parameter, rows in zip(group["params"], group["table_rows"], strict=True):
            TableRows(parameter, rows)


def _with_padding(tables: list[slice], length: int) -> list[slice]:
    """The tables and what lies behind them."""
    return [*tables, slice(tables[-1].stop, length)]


def _update(rows: tuple[Tensor, ...], factor: Tensor, keep: float | Tensor, rate: float) -> None:
    """`m <- m + rate (g - m)`, then `p <- keep p + factor m`, in place; `rows` are those of p, g and m."""
    parameter, gradient, moment = rows
    moment.lerp_(gradient.to(moment.dtype), rate)
    if isinstance(keep, Tensor) or keep != 1:
        parameter.mul_(keep)
    if parameter.dtype == factor.dtype:
        parameter.addcmul_(moment, factor)
    else:
        parameter.add_(moment.to(factor.dtype) * factor)


@functools.cache
def _compiled_update() -> Callable[..., None]:
    return torch.compile(_update)


@functools.cache
def _compiled_squares() -> Callable[[Tensor], Tensor]:
    return torch.compile(sums_of_squares)
