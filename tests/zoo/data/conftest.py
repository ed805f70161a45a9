from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from zoo.data.tokenizers import WordLevel

MODULE = '''"""Module {name} of the toy package is documented like this."""


def add_{name}(a, b):
    """Return the sum of {name} numbers and nothing else."""
    total = a + b
    return {name!r}, total


class Thing{name}:
    """A thing that remembers the {name} numbers it was given."""

    size = {number}
    first_{name} = "{name} first"
    {name}_second = {name!r}, {number}, "{name} again"

    def store(self, value):
        """Keep one more value of kind {name} for later."""
        self.values_{name} = [value, *getattr(self, "values_{name}", [])]
        return self

    def silent(self):
        return None
'''


def words(number: int) -> str:
    """A name made of letters only, different for each number."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.fixture
def toy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `toy` of 120 documented modules, with a test folder and a vendored one."""
    root = tmp_path / "installed" / "toy"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text('raise RuntimeError("the package must not be imported")\n')
    for number in range(120):
        (root / f"mod_{words(number)}.py").write_text(MODULE.format(name=words(number), number=number))
    for skipped in ("tests", "_vendor"):
        (root / skipped).mkdir()
        (root / skipped / "inner.py").write_text(MODULE.format(name=skipped.strip("_"), number=0))
    monkeypatch.syspath_prepend(str(root.parent))
    return root


@pytest.fixture
def word_tokenizer() -> Tokenizer:
    """Words a to z, each one token."""
    return WordLevel().build([" ".join(map(chr, range(ord("a"), ord("z") + 1)))])


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, list[str]], Path]:
    """Write lines to a file in a fresh folder."""

    def write(name: str, lines: list[str]) -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def real_data() -> Path:
    """Folder of public data sets."""
    if "ZOO_TEST_DATA" not in os.environ:
        pytest.skip("ZOO_TEST_DATA is not set: it names a folder of public data sets")
    return Path(os.environ["ZOO_TEST_DATA"])
