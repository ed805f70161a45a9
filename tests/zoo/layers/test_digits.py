from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.layers.digits import digits_of, numbers_of, smallest_base


@given(st.integers(1, 10**9), st.integers(1, 8))
def test_smallest_base(count: int, num_digits: int) -> None:
    base = smallest_base(count, num_digits)
    assert base**num_digits >= count
    assert base == 1 or (base - 1) ** num_digits < count


@pytest.mark.parametrize(("base", "num_digits"), [(2, 8), (5, 3), (7, 1), (175, 2)])
def test_digits_are_those_of_python(base: int, num_digits: int) -> None:
    numbers = torch.arange(base**num_digits)
    digits = digits_of(numbers, base, num_digits)
    for number in (0, 1, base - 1, base**num_digits // 2, base**num_digits - 1):
        expected, rest = [], number
        for _ in range(num_digits):
            rest, digit = divmod(rest, base)
            expected.append(digit)
        assert digits[number].tolist() == expected
    assert torch.equal(numbers_of(digits, base), numbers)
