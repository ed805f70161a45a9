"""Numbers as digits: how V tokens are addressed by f short tables."""

from __future__ import annotations

import torch
from jaxtyping import Int, Integer
from torch import Tensor


def smallest_base(count: int, num_digits: int) -> int:
    """The smallest n with `n ** num_digits >= count`.

    Args:
        count: how many numbers must have digits of their own, at least 1.
        num_digits: f, at least 1.

    Example:
        >>> smallest_base(30522, 2), smallest_base(1000, 3), smallest_base(1001, 3)
        (175, 10, 11)
    """
    base: int = max(1, round(count ** (1 / num_digits)))
    while base**num_digits >= count and base > 1:
        base -= 1
    while base**num_digits < count:
        base += 1
    return base


def base_of(given: int | None, count: int, num_tables: int) -> int:
    """`given`, or the smallest base with which `count` tokens have codes of their own.

    Raises:
        ValueError: if `given` is smaller.
    """
    smallest = smallest_base(count, num_tables)
    if given is not None and given < smallest:
        raise ValueError(
            f"{num_tables} tables of {given} rows have no codes for {count} tokens: set base to at least {smallest}, "
            "or more num_tables or own_rows"
        )
    return given or smallest


def digits_of(numbers: Int[Tensor, " rows"], base: int, num_digits: int) -> Int[Tensor, "rows digits"]:
    """Base-n digits of each number, the least significant first.

    Example:
        >>> digits_of(torch.tensor([0, 5, 11]), 3, 3).tolist()
        [[0, 0, 0], [2, 1, 0], [2, 0, 1]]
    """
    digits = []
    for _ in range(num_digits):
        digits.append(numbers % base)
        numbers = numbers // base
    return torch.stack(digits, 1)


def numbers_of(digits: Integer[Tensor, "rows digits"], base: int) -> Int[Tensor, " rows"]:
    """The number that each row of digits spells, the least significant digit first."""
    powers = torch.tensor([base**j for j in range(digits.shape[1])], device=digits.device)
    return (digits.long() * powers).sum(1)


def check_codes(codes: Integer[Tensor, "tokens digits"], shape: tuple[int, ...], base: int) -> None:
    """Make sure that every token has codes of its own.

    Raises:
        ValueError: if codes repeat, are out of range, or are not as many.
    """
    if codes.shape != shape or int(codes.min()) < 0 or int(codes.max()) >= base:
        raise ValueError(f"codes must be {shape} numbers from 0 to {base - 1}, not {tuple(codes.shape)}")
    if repeated := len(codes) - len(codes.unique(dim=0)):
        raise ValueError(f"{repeated} tokens share their codes with another one and could never be told apart")
