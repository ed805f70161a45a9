from __future__ import annotations

import pytest

from bench.efficiency import workload

DOCUMENTS = [f"document {i} has the words {i + 1} and {i + 2}." for i in range(30)]


def test_texts_have_the_declared_lengths() -> None:
    lengths = [8, 16, 3, 128]
    found = workload.build(DOCUMENTS, lengths)
    assert [len(text.split()) for text in found.texts] == lengths


def test_the_order_of_the_documents_and_copies_of_them_do_not_matter() -> None:
    assert workload.build(DOCUMENTS, [8, 16]) == workload.build([*reversed(DOCUMENTS), DOCUMENTS[3]], [8, 16])


def test_rows_tell_other_texts_apart() -> None:
    rows = {workload.build(DOCUMENTS, lengths).rows for lengths in ([8, 8], [8, 16], [16, 8])}
    rows.add(workload.build([text.upper() for text in DOCUMENTS], [8, 8]).rows)
    assert len(rows) == 4


def test_a_short_corpus_starts_again() -> None:
    assert workload.build(["a b"], [5]).texts == ("a b a b a",)


def test_no_words_are_refused() -> None:
    with pytest.raises(ValueError, match="no word"):
        workload.build([" ", ""], [3])
