"""Finds the Python files of the standard library and of installed packages without importing them."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from zoo.data.cache import content_key

STDLIB = "stdlib"

# Tests say nothing of what code is for; vendored copies and generated files are someone else's text, or nobody's.
_TESTS = {"test", "tests", "testing", "idle_test", "examples", "_examples", "benchmarks", "turtledemo", "__phello__"}
_VENDORED = {"_vendor", "vendor", "vendored", "_vendored", "externals", "extern", "third_party", "_bundled"}
_FOREIGN = {"array_api_compat", "array_api_extra", "pydoc_data", "site-packages", "dist-packages", "node_modules"}
_SKIPPED_FOLDERS = _TESTS | _VENDORED | _FOREIGN | {"__pycache__"}


@dataclass(frozen=True)
class SourceFile:
    """One Python file.

    Args:
        module: dotted name.
        path: where it lies.
        key: hash of module name and content.
    """

    module: str
    path: Path
    key: str


def find_sources(package: str) -> list[SourceFile]:
    """Files of `package` (`"stdlib"`, or the top-level import name of an installed one) sorted by module name.

    Raises:
        ValueError: if it is not installed or has no Python source.
    """
    root, prefix = _root_of(package)
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*.py") if _is_wanted(path, root))
    base = root.parent if root.is_file() else root
    files = []
    for path in paths:
        module = _module_name(path.relative_to(base), prefix if root.is_dir() else "")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise OSError(f"cannot read {path} of package {package!r}: {error.strerror}") from error
        files.append(SourceFile(module, path, content_key(module, content)))
    if not files:
        raise ValueError(f"package {package!r} has no Python source at {root}: leave it out of data.packages")
    return sorted(files, key=lambda file: (file.module, file.path))


def _root_of(package: str) -> tuple[Path, str]:
    if package == STDLIB:
        return Path(sysconfig.get_path("stdlib")), ""
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))), package
    if spec is not None and spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin), package
    if spec is not None:
        raise ValueError(f"package {package!r} has no Python source: leave it out of data.packages")
    raise ValueError(f"package {package!r} is not installed: {_nearest(package)}")


def _nearest(package: str) -> str:
    """What to do about an unknown name."""
    by_import_name = importlib.metadata.packages_distributions()
    for name, distributions in sorted(by_import_name.items()):
        if package.lower().replace("_", "-") in (d.lower().replace("_", "-") for d in distributions):
            return f"{package} is imported as {name!r}, use that name"
    names = sorted({STDLIB, *by_import_name, *sys.stdlib_module_names})
    near = difflib.get_close_matches(package, names, n=1, cutoff=0.0)
    return f"the nearest installed one is {near[0]!r}, or install it with pip"


def _is_wanted(path: Path, root: Path) -> bool:
    *folders, name = path.relative_to(root).parts
    if any(folder.lower() in _SKIPPED_FOLDERS or folder.startswith("config-") for folder in folders):
        return False
    return not (name.startswith("test_") or name.endswith(("_test.py", "_tests.py")) or name == "conftest.py")


def _module_name(path: Path, prefix: str) -> str:
    parts = [part for part in (prefix, *path.with_suffix("").parts) if part]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
