from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.layers import linear_cross_entropy as module
from zoo.layers.linear_cross_entropy import chunk_rows, linear_cross_entropy

ROWS, DIM, CLASSES = 300, 8, 40
Close = Callable[..., None]


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that an operation gave."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for result in out if isinstance(out, tuple | list) else (out,):
            if isinstance(result, Tensor):
                self.numel = max(self.numel, result.numel())
        return out


def leaves(dtype: torch.dtype, bias: bool) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(ROWS, DIM), (CLASSES, DIM), (CLASSES,)]
    tensors = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    return tensors if bias else tensors[:2], torch.randint(CLASSES, (ROWS,), generator=generator)


def ours(tensors: list[Tensor], targets: Tensor) -> Tensor:
    return linear_cross_entropy(tensors[0], tensors[1], targets, *tensors[2:])


@pytest.fixture(params=[1, 128 * CLASSES, 200 * CLASSES, 10**9], ids=lambda n: f"chunk-{n}")
def chunk_elements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", request.param)
    return int(request.param)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.usefixtures("chunk_elements")
def test_value_and_gradients_equal_cross_entropy(bias: bool, dtype: torch.dtype, assert_close: Close) -> None:
    tensors, targets = leaves(dtype, bias)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    actual, expected = ours(tensors, targets), F.cross_entropy(F.linear(*exact), targets)
    assert_close(actual, expected, dtype)
    (3 * actual).backward()
    (3 * expected).backward()
    for a, e in zip(tensors, exact, strict=True):
        assert a.grad is not None
        assert e.grad is not None
        assert a.grad.dtype == dtype
        assert_close(a.grad, e.grad, dtype)


@pytest.mark.parametrize("bias", [False, True])
def test_products_run_in_the_autocast_type(bias: bool, chunk_elements: int, assert_close: Close) -> None:
    tensors, targets = leaves(torch.float32, bias)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = ours(tensors, targets)
    expected = F.cross_entropy(F.linear(*exact), targets)
    assert actual.dtype == torch.float32
    assert_close(actual, expected, torch.bfloat16)
    assert abs(actual.item() - expected.item()) > 1e-7, "nothing was rounded, so autocast was ignored"
    actual.backward()
    expected.backward()
    for a, e in zip(tensors, exact, strict=True):
        assert a.grad is not None
        assert e.grad is not None
        assert a.grad.dtype == torch.float32
        assert_close(a.grad, e.grad, torch.bfloat16)


def test_many_chunks_do_not_add_up_rounding_errors(monkeypatch: pytest.MonkeyPatch, assert_close: Close) -> None:
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 1)
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(8192, 4, generator=generator), torch.randn(6, 4, generator=generator)
    targets = torch.randint(6, (8192,), generator=generator)
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    exact = weight.detach().double().requires_grad_()
    F.cross_entropy(hidden.double() @ exact.T, targets).backward()
    assert weight.grad is not None
    assert exact.grad is not None
    assert_close(weight.grad, exact.grad, torch.bfloat16)


@pytest.mark.parametrize("retain", [False, True])
def test_a_second_backward_is_refused(retain: bool) -> None:
    tensors, targets = leaves(torch.float32, bias=True)
    loss = ours(tensors, targets)
    loss.backward(retain_graph=retain)
    with pytest.raises(RuntimeError, match=r"second time|inplace operation"):
        loss.backward()


def test_scores_of_all_rows_never_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 1)
    tensors, targets = leaves(torch.float32, bias=True)
    with LargestTensor() as largest:
        ours(tensors, targets).backward()
    assert largest.numel == chunk_rows(CLASSES) * CLASSES < ROWS * CLASSES


def test_no_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one target"):
        linear_cross_entropy(torch.zeros(0, 3), torch.zeros(5, 3), torch.zeros(0, dtype=torch.int64))
