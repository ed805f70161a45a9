"""Content hashes of the data that a task scores.

A revision names what was asked for; the hash of the rows says what came. SHA-256 and not a faster hash, because a
record claims by it which data was scored, so nobody should be able to make other data with the same hash; one core
hashes about a gigabyte a second, far above what any model encodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

Part = tuple[str, ...]

# Rows are hashed in blocks of this many, so that neither chunks nor row groups show in the hash.
_BLOCK = 8192


def hash_rows(task: AbsTask) -> str:
    """Hash of all that `task` will score: its evaluated splits and subsets, and the split that it trains on.

    Take it right after loading: scoring drops queries without relevant documents from the loaded data.

    Args:
        task: an mteb task whose data is loaded.

    Returns:
        64 hex digits. It is the same for every chunking, layout and column order of the same cells, and differs for any
        other cell, row order, row count or column name.

    Raises:
        ValueError: if a split or subset that will be scored is not in the data.
    """
    return hash_parts({part: hash_part(data) for part, data in parts_of(task).items()})


def hash_parts(hashes: Mapping[Part, str]) -> str:
    """`hash_rows` out of the hashes of the parts."""
    return hashlib.sha256(_canonical(sorted([list(part), value] for part, value in hashes.items()))).hexdigest()


def hash_part(data: Any) -> str:
    """Hash of one part: a table, or what JSON can hold (judgements and candidates by query).

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(data, Dataset):
        return hash_dataset(data)
    return hashlib.sha256(_canonical(data)).hexdigest()


def hash_dataset(dataset: Dataset) -> str:
    """Hash of a table: 64 hex digits; see `hash_rows` for what it depends on.

    Example:
        >>> a = Dataset.from_dict({"text": ["x", "y"], "label": [0, 1]})
        >>> b = Dataset.from_dict({"label": [0, 1, 2], "text": ["x", "y", "z"]}).select([0, 1])
        >>> hash_dataset(a) == hash_dataset(b), hash_dataset(a) == hash_dataset(a.select([1, 0]))
        (True, False)
    """
    columns = {name: hashlib.sha256() for name in sorted(dataset.column_names)}
    for table in dataset.with_format("arrow").iter(batch_size=_BLOCK):
        for name, digest in columns.items():
            array = table.column(name).combine_chunks()
            _update(digest, array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
    facts = {name: digest.hexdigest() for name, digest in columns.items()}
    return hashlib.sha256(_canonical([len(dataset), facts])).hexdigest()


def parts_of(task: AbsTask) -> dict[Part, Any]:
    """What `task` will score: tables and JSON values by (subset, split, role).

    The subset is left out where the task has no subsets, and the role (`corpus`, `queries`, ...) where a split is one
    table.

    Raises:
        ValueError: if a split or subset that will be scored is not in the data.
    """
    if hasattr(task, "convert_v1_dataset_format_to_v2"):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    parts: dict[Part, Any] = {}
    for subset, data in _subsets(task):
        for split in splits_of(task, data):
            if split not in data:
                raise ValueError(f"{task.metadata.name}: {'/'.join((*subset, split))} is not in the loaded data")
            node = data[split]
            roles = {(): node} if not isinstance(node, Mapping) else {(role,): node[role] for role in node}
            parts |= {(*subset, split, *role): table for role, table in roles.items()}
    return parts


def splits_of(task: AbsTask, data: Mapping[str, Any]) -> list[str]:
    """Evaluated splits, and the one that a classifier is trained on where `data` has it."""
    train = getattr(task, "train_split", None)
    return list(dict.fromkeys([*task.eval_splits, *([train] if train in data else [])]))


def _subsets(task: AbsTask) -> Iterator[tuple[Part, Mapping[str, Any]]]:
    """The data by subset, found by the rule that mteb's own `evaluate` follows."""
    data = task.dataset
    assert data is not None, "the data is loaded first"
    if getattr(task, "parallel_subsets", False):  # one table whose columns are the languages
        yield (), data
        return
    for subset in task.hf_subsets:
        if subset in data:
            yield (subset,), data[subset]
        elif subset == "default":
            yield (), data
        else:
            raise ValueError(f"{task.metadata.name}: subset {subset!r} is not in the loaded data")


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=as_json).encode()
    except TypeError as error:
        raise ValueError(f"this part of the data is neither a table nor JSON ({error})") from error


def as_json(value: Any) -> Any:
    """What JSON has instead of a column of a table, or of a number of NumPy; `default` of `json.dumps`.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, Sequence):  # some tasks of mteb put columns into plain lists
        return list(value[:])  # a column is fast by slices alone
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _update(digest: hashlib._Hash, array: pa.Array) -> None:
    """Feed type, validity and values of `array`; what lies under a null, before an offset or after the end does not."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind, buffers, children = _content(array)
    digest.update(f"{kind} {len(array)}\n".encode())
    digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    for buffer in buffers:
        digest.update(buffer)
    for name, child in children:
        digest.update(f"{name}\n".encode())
        _update(digest, child)


def _content(array: pa.Array) -> tuple[str, Sequence[Any], Sequence[tuple[str, pa.Array]]]:
    """Name of the kind of `array`, its values as bytes, and the arrays inside it."""
    kind = array.type
    if pa.types.is_null(kind):
        return "null", (), ()
    if pa.types.is_struct(kind):
        return "struct", (), sorted(zip((field.name for field in kind), array.flatten(), strict=True), key=_first)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = _bytes(pc.list_value_length(array), "<i8")
        return "list", (lengths,), (("item", array.filter(array.is_valid()).flatten()),)
    if pa.types.is_boolean(kind):
        return "bool", (_bytes(array, "u1"),), ()
    if pa.types.is_integer(kind):
        return "integer", (_bytes(array, "<u8" if pa.types.is_unsigned_integer(kind) else "<i8"),), ()
    if pa.types.is_floating(kind):
        return "float", (_bytes(array, "<f8"),), ()
    return _strings(array)


def _strings(array: pa.Array) -> tuple[str, Sequence[Any], Sequence[tuple[str, pa.Array]]]:
    binary = pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)
    kind = "binary" if binary else "string"
    values = (array if binary else array.cast(pa.large_string())).cast(pa.large_binary()).fill_null(b"")
    offsets = np.frombuffer(values.buffers()[1], dtype="<i8")[values.offset : values.offset + len(values) + 1]
    data = memoryview(values.buffers()[2] or b"")[offsets[0] : offsets[-1]]
    return kind, (np.diff(offsets).tobytes(), data), ()


def _bytes(array: pa.Array, dtype: str) -> bytes:
    filled = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    return np.ascontiguousarray(filled.to_numpy(zero_copy_only=False).astype(dtype)).tobytes()


def _first(item: tuple[str, pa.Array]) -> str:
    return item[0]
