"""The exact update can be taken into any other project."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib.abc, sys
import torch
allowed = {"zoo"}
loaded = set(sys.modules)

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and name not in loaded and top not in loaded:
            raise ImportError(f"{name} is not torch")

sys.meta_path.insert(0, Refuse())
from zoo.heads.sparse_target import FactoredMatrix, SphericalZLoss, StepMoments
matrix = FactoredMatrix(torch.randn(50, 4))
targets = torch.arange(6)[:, None]
loss, gradient = matrix.gradient(torch.randn(6, 4), targets, SphericalZLoss(), torch.ones(6, 1))
matrix.step(StepMoments(matrix, gradient), 0.1)
assert not {"lightning", "jaxtyping", "tokenizers", "scipy"} & set(sys.modules)
"""


def test_the_package_needs_torch_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
