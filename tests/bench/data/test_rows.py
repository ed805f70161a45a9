from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, Features, Sequence, Value, concatenate_datasets
from datasets.table import InMemoryTable

from bench.data.rows import hash_dataset, hash_rows, parts_of

ROWS: dict[str, Any] = {
    "text": ["a", "", None, "long é"],
    "label": [1, 2, None, -4],
    "score": [0.5, float("nan"), None, 1.0],
    "flag": [True, None, False, True],
    "texts": [["x", "y"], [], None, ["z", None]],
    "nested": [{"a": 1, "b": ["u"]}, {"a": None, "b": []}, None, {"a": 2, "b": None}],
}


def table(**changes: Any) -> Dataset:
    return Dataset.from_dict({**ROWS, **changes})


def test_layout_does_not_count() -> None:
    whole = table()
    expected = hash_dataset(whole)
    chunks = concatenate_datasets([whole.select([0, 1]), whole.select([2]), whole.select([3])])
    assert chunks.data.column("text").num_chunks > 1
    assert hash_dataset(chunks) == expected
    assert hash_dataset(whole.select([3, 2, 1, 0]).select([3, 2, 1, 0])) == expected
    assert hash_dataset(whole.select_columns(list(reversed(whole.column_names)))) == expected
    wide = table(text=["?", *ROWS["text"]], **{k: [v[0], *v] for k, v in ROWS.items() if k != "text"})
    assert hash_dataset(wide.select(range(1, 5))) == expected


def test_the_width_of_a_type_does_not_count() -> None:
    small = Dataset.from_dict({"a": ["x", None], "b": [1, 2], "c": [0.5, 1.0], "d": [["x"], []]})
    text, number, real = Value("large_string"), Value("int8"), Value("float32")
    features = Features({"a": text, "b": number, "c": real, "d": Sequence(Value("large_string"))})
    assert hash_dataset(small.cast(features)) == hash_dataset(small)


def test_what_lies_under_a_null_does_not_count() -> None:
    clean = Dataset.from_dict({"a": ["x", None, "y"]})
    buffers = [pa.py_buffer(b"\x05"), pa.py_buffer(b"".join(i.to_bytes(4, "little") for i in (0, 1, 4, 5)))]
    dirty = pa.Array.from_buffers(pa.string(), 3, [*buffers, pa.py_buffer(b"x???y")])
    assert dirty.to_pylist() == ["x", None, "y"]
    assert hash_dataset(Dataset(InMemoryTable(pa.table({"a": dirty})))) == hash_dataset(clean)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": ["a", None, "", "long é"]},
        {"text": ["a", "", None, "long e"]},
        {"label": [1, 2, 0, -4]},
        {"score": [0.5, None, None, 1.0]},
        {"flag": [True, False, False, True]},
        {"texts": [["x"], ["y"], None, ["z", None]]},
        {"texts": [["x", "y"], None, [], ["z", None]]},
        {"nested": [{"a": 1, "b": ["u"]}, {"a": None, "b": []}, {"a": None, "b": None}, {"a": 2, "b": None}]},
        {"more": [1, 2, 3, 4]},
    ],
)
def test_every_cell_counts(changes: dict[str, Any]) -> None:
    assert hash_dataset(table(**changes)) != hash_dataset(table())


def test_order_number_and_names_count() -> None:
    whole = table()
    others = [whole.select([1, 0, 2, 3]), whole.select([0, 1, 2]), whole.rename_column("text", "sentence")]
    assert len({hash_dataset(other) for other in [whole, *others]}) == 4
    joined = Dataset.from_dict({"a": ["ab", "c"]}), Dataset.from_dict({"a": ["a", "bc"]})
    assert hash_dataset(joined[0]) != hash_dataset(joined[1])
    assert hash_dataset(Dataset.from_dict({"a": ["1"]})) != hash_dataset(Dataset.from_dict({"a": [1]}))
    assert hash_dataset(Dataset.from_dict({"a": []})) != hash_dataset(Dataset.from_dict({"b": []}))


def test_rows_beyond_one_block_count() -> None:
    long = Dataset.from_dict({"a": [str(i) for i in range(20_000)]})
    parts = concatenate_datasets([long.select(range(9_000)), long.select(range(9_000, 20_000))])
    assert hash_dataset(parts) == hash_dataset(long)
    assert hash_dataset(long.select([*range(19_998), 19_999, 19_998])) != hash_dataset(long)


class Task:
    """As much of an mteb task as is looked at."""

    def __init__(self, dataset: Any, subsets: tuple[str, ...] = ("default",), **attributes: Any) -> None:
        self.dataset, self.hf_subsets, self.eval_splits = dataset, list(subsets), ["test"]
        self.metadata: Any = type("Metadata", (), {"name": "Some"})
        vars(self).update(attributes)


ONE, TWO = Dataset.from_dict({"text": ["a"]}), Dataset.from_dict({"text": ["b"]})


def parts(task: Any) -> list[tuple[str, ...]]:
    return list(parts_of(task))


def test_only_what_is_scored_is_hashed() -> None:
    plain: Any = Task(DatasetDict({"test": ONE, "train": TWO, "other": TWO}))
    assert parts(plain) == [("test",)]
    trained: Any = Task(plain.dataset, train_split="train")
    assert parts(trained) == [("test",), ("train",)]
    by_language: Any = Task({"de": DatasetDict({"test": ONE}), "fr": DatasetDict({"test": TWO})}, ("fr",))
    assert parts(by_language) == [("fr", "test")]
    parallel: Any = Task(DatasetDict({"test": ONE}), ("de-fr", "fr-de"), parallel_subsets=True)
    assert parts(parallel) == [("test",)]
    hashes = {hash_rows(task) for task in (plain, trained, by_language, parallel)}
    assert len(hashes) == 3  # the same table by two names of a subset that neither table shows
    assert hash_rows(by_language) != hash_rows(Task({"de": by_language.dataset["fr"]}, ("de",)))


def retrieval(**changes: Any) -> Any:
    roles = {"corpus": ONE, "queries": TWO, "relevant_docs": {"q": {"d": 1, "e": 0}, "p": {"d": 1}}, "top_ranked": None}
    return Task({"default": {"test": {**roles, **changes}}})


def test_judgements_and_candidates_count_and_their_order_by_query_does_not() -> None:
    expected = hash_rows(retrieval())
    assert hash_rows(retrieval(relevant_docs={"p": {"d": 1}, "q": {"e": 0, "d": 1}})) == expected
    for changes in (
        {"relevant_docs": {"q": {"d": 1, "e": 1}, "p": {"d": 1}}},
        {"top_ranked": {"q": ["d"]}},
        {"corpus": TWO},
        {"queries": ONE},
    ):
        assert hash_rows(retrieval(**changes)) != expected
    ranked = [hash_rows(retrieval(top_ranked={"q": order})) for order in (["d", "e"], ["e", "d"])]
    assert ranked[0] != ranked[1]


def test_columns_in_plain_lists_are_hashed_as_lists() -> None:
    as_columns, as_lists = Task({"test": [{"a": ONE["text"]}]}), Task({"test": [{"a": ["a"]}]})
    assert hash_rows(as_columns) == hash_rows(as_lists)
    assert hash_rows(as_columns) != hash_rows(Task({"test": [{"a": ["b"]}]}))


def test_absent_data_and_unknown_things_are_refused() -> None:
    for task, message in (
        (Task(DatasetDict({"train": ONE})), "Some: test is not in the loaded data"),
        (Task({"de": DatasetDict({"test": ONE})}, ("fr",)), "subset 'fr' is not in the loaded data"),
        (Task({"test": {1, 2}}), "neither a table nor JSON"),
    ):
        with pytest.raises(ValueError, match=message):
            hash_rows(task)
