from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from zoo.contracts import Vocabulary
from zoo.data.tokenizers import WordLevel, vocabulary_of
from zoo.embeddings import SubspaceEmbedding, TiedEmbedding
from zoo.embeddings.codes import ClusterCodes, PQCodes, ReclusterCodes, SequentialCodes, pq_codes
from zoo.embeddings.codes.balanced import Rows, balanced_clusters, fill, hierarchy, squared_distances
from zoo.embeddings.codes.code_assignment import CodeAssignment
from zoo.embeddings.codes.least_squares import start_at
from zoo.embeddings.codes.pq_codes import free_cells, free_codes, quantised
from zoo.layers.digits import numbers_of
from zoo.layers.subspace_table import SubspaceTable
from zoo.objectives import MaskedLM

WIDTH = 24


@pytest.fixture
def donor(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A checkpoint whose tokens lie in eight separate heaps."""
    torch.manual_seed(0)
    model = MaskedLM(WIDTH, TiedEmbedding)
    model.build(tokenizer, 16)
    heaps = torch.randn(8, WIDTH) * 10
    rows = heaps[torch.arange(model.vocabulary.size) % 8]
    state = model.state_dict()
    state["embedding.table.matrix"] = state["head.table.matrix"] = rows + 0.1 * torch.randn_like(rows)
    content = {"state_dict": state}
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "donor.ckpt")
    return tmp_path / "donor.ckpt"


@pytest.fixture
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return vocabulary_of(tokenizer)


def test_orders_of_sequential_codes(vocabulary: Vocabulary) -> None:
    counts = torch.arange(vocabulary.size)
    places = {}
    for order in ("frequency", "id", "random"):
        table = SubspaceTable(vocabulary.size, WIDTH, own_rows=7)
        SequentialCodes(order).assign(table, vocabulary, counts)
        places[order] = table.places.argsort().tolist()
        assert places[order][:7] == places["frequency"][:7], "own rows are the most frequent in every order"
    assert places["frequency"][7:] == list(range(vocabulary.size - 3, 4, -1))
    assert places["id"][7:] == list(range(5, vocabulary.size - 2))
    assert sorted(places["random"]) == sorted(places["id"])
    assert places["random"] != places["id"]
    again = SubspaceTable(vocabulary.size, WIDTH, own_rows=7)
    SequentialCodes("random").assign(again, vocabulary, counts)
    assert again.places.argsort().tolist() == places["random"]


@pytest.mark.parametrize(("tables", "own"), [(2, 0), (2, 6), (3, 0), (1, 0)])
def test_clusters_keep_similar_tokens_together(vocabulary: Vocabulary, donor: Path, tables: int, own: int) -> None:
    table = SubspaceTable(vocabulary.size, WIDTH, num_tables=tables, own_rows=own)
    ClusterCodes(str(donor)).assign(table, vocabulary, torch.arange(vocabulary.size))
    numbers = numbers_of(table.codes, table.base)
    assert sorted(numbers.tolist()) == list(range(vocabulary.size - own)), "the cheapest softmax applies"
    if (tables, own) != (2, 0):
        return
    heap_of_place = torch.arange(vocabulary.size)[table.places.argsort().long()] % 8
    purity = []
    for top in range(int(table.codes[:, 1].max())):
        heaps = heap_of_place[table.codes[:, 1] == top]
        purity.append(heaps.bincount().max() / len(heaps))
    assert float(torch.stack(purity).mean()) > 0.7


def test_pq_starts_at_the_trained_vectors(vocabulary: Vocabulary, donor: Path) -> None:
    trained = torch.load(donor)["state_dict"]["embedding.table.matrix"]
    errors = []
    for codes in (PQCodes(str(donor)), SequentialCodes()):
        table = SubspaceTable(vocabulary.size, WIDTH, num_tables=3, own_rows=6, base=16)
        codes.assign(table, vocabulary, torch.arange(vocabulary.size))
        errors.append(float((table.weight().detach() - trained).norm() / trained.norm()))
        if isinstance(codes, PQCodes):
            own = table.places.argsort()[:6]
            assert table.own is not None
            torch.testing.assert_close(table.own.matrix.detach(), trained[own.long()])
    assert errors[0] < 0.3 < 0.9 < errors[1]


def _free_codes(distances: Rows) -> NDArray[np.int64]:
    return free_codes(distances.argmin(2).T, lambda row: distances[:, row])


@pytest.mark.parametrize("find", [free_cells, _free_codes], ids=["all", "by distance"])
def test_free_codes_are_different_and_the_nearest_left(find: Callable[[Rows], NDArray[np.int64]]) -> None:
    random = np.random.default_rng(0)
    distances = random.random((2, 25, 5)).astype(np.float32)
    codes = find(distances)
    assert len({tuple(code) for code in codes.tolist()}) == 25, "every cell is used once"
    assert codes[0].tolist() == distances[:, 0].argmin(axis=1).tolist(), "the first has its choice"
    for row in (12, 24):
        taken = {tuple(code) for code in codes[:row].tolist()}
        costs = {(i, j): distances[0, row, i] + distances[1, row, j] for i in range(5) for j in range(5)}
        assert tuple(codes[row]) == min(costs.keys() - taken, key=lambda code: costs[code])


def test_both_ways_of_finding_codes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    compared = quantised(rows, 4, 3, seed=0)
    assert len(compared.unique(dim=0)) == 60
    monkeypatch.setattr(pq_codes, "_GRID", 0)
    assert torch.equal(quantised(rows, 4, 3, seed=0), compared)


def test_capacities_are_kept() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(53, 4)).astype(np.float32)
    capacities = np.array([20, 20, 13])
    chosen, centroids = balanced_clusters(rows, capacities, seed=0)
    assert np.bincount(chosen).tolist() == capacities.tolist()
    assert centroids.shape == (3, 4)
    near = fill(squared_distances(rows, centroids), np.array([53, 0, 0]))
    assert set(near.tolist()) == {0}


@pytest.mark.parametrize(
    ("count", "base", "digits"), [(27, 3, 3), (20, 3, 3), (64, 8, 2), (50, 8, 2), (5, 5, 1), (10, 4, 2)]
)
def test_hierarchy_is_a_permutation_whatever_the_last_group_holds(count: int, base: int, digits: int) -> None:
    rows = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    numbers = hierarchy(rows, base, digits, seed=0)
    assert sorted(numbers.tolist()) == list(range(count))
    assert hierarchy(rows, base, digits, seed=0).tolist() == numbers.tolist()


@pytest.mark.parametrize("make", [ClusterCodes, PQCodes])
def test_another_vocabulary_or_width_is_refused(
    make: Callable[[str], CodeAssignment], donor: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    other = vocabulary_of(WordLevel().build(["one two three"]))
    counts = torch.ones(other.size, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"another tokenizer: set data\.tokenizer to PretrainedTokenizer"):
        make(str(donor)).assign(SubspaceTable(other.size, WIDTH), other, counts)
    counts = torch.ones(vocabulary.size, dtype=torch.int64)
    with pytest.raises(ValueError, match="vectors of width 24, this model 8"):
        make(str(donor)).assign(SubspaceTable(vocabulary.size, 8), vocabulary, counts)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        make(str(tmp_path / "none.ckpt")).assign(SubspaceTable(vocabulary.size, WIDTH), vocabulary, counts)


def test_tables_start_where_no_others_are_nearer() -> None:
    torch.manual_seed(0)
    table = SubspaceTable(40, WIDTH, num_tables=2, own_rows=4, base=7)
    table.assign(torch.randperm(40))
    before, rows = table.matrix.detach().clone(), torch.randn(40, WIDTH)
    start_at(table, rows)
    weight = table.weight()
    (gradient,) = torch.autograd.grad((weight - rows).square().sum(), table.matrix)
    assert float(gradient.abs().max()) < 1e-5, "a minimum of the squares"
    own = table.places < 4
    assert torch.equal(weight[own].detach(), rows[own])
    unused = torch.tensor([6]) + 7  # 36 tokens use the values 0 to 5 of the higher digit
    assert torch.equal(table.matrix[unused].detach(), before[unused])


def test_clusters_found_during_training(vocabulary: Vocabulary) -> None:
    """Tokens of one heap end up with common blocks, although they began with those of their places."""
    torch.manual_seed(0)
    size = vocabulary.size
    embedding = SubspaceEmbedding(size, WIDTH, own_rows=5, base=16, codes=lambda: ReclusterCodes([0.5, 0.75]))
    embedding.use_vocabulary(vocabulary, torch.arange(size))
    table, helpers = embedding.table, embedding.table.helpers
    assert helpers is not None
    heap = torch.arange(size) % 4
    goal = torch.randn(4, WIDTH)[heap]
    before = purity(table, heap)
    optimizer = torch.optim.Adam(embedding.parameters(), lr=0.05)
    changed: list[int] = []
    for step in range(400):
        anew = embedding.before_step(step, 400)
        if anew:
            changed.append(step)
            assert {id(p) for p in anew} == {id(table.matrix), id(table.helpers)}
            for parameter in anew:
                optimizer.state.pop(parameter)
            numbers = numbers_of(table.codes, table.base)
            assert len(numbers.unique()) == size - 5
            assert not helpers.any()
        optimizer.zero_grad()
        (embedding(torch.arange(size)) - goal).square().sum().backward()
        optimizer.step()
    assert changed == [200, 300]
    assert not table.helps
    assert not helpers.any(), "nothing moves what is out of use"
    assert purity(table, heap) > 0.7 > 0.4 > before


def purity(table: SubspaceTable, heap: torch.Tensor) -> float:
    """Share of the tokens whose heap is the commonest among those with the same digit, the worst digit's."""
    tail = heap[table.places.argsort()[table.own_rows :].long()]
    shares = []
    for digits in table.codes.T:
        groups = [tail[digits == value].bincount() for value in digits.unique()]
        shares.append(float(sum(group.max() for group in groups)) / len(tail))
    return min(shares)


def test_helping_tables_are_part_of_the_softmax_and_of_a_checkpoint(vocabulary: Vocabulary) -> None:
    torch.manual_seed(0)
    size = vocabulary.size
    embedding = SubspaceEmbedding(size, WIDTH, own_rows=3, tied=True, codes=ReclusterCodes).double()
    embedding.use_vocabulary(vocabulary, torch.arange(size))
    assert embedding.table.helpers is not None
    torch.nn.init.normal_(embedding.table.helpers)
    hidden, targets = torch.randn(20, WIDTH, dtype=torch.float64), torch.arange(20)
    expected = torch.nn.functional.cross_entropy(hidden @ embedding.table.weight().T, targets)
    torch.testing.assert_close(embedding.table.cross_entropy(hidden, targets), expected)
    assert torch.equal(embedding.table.weight(), embedding(torch.arange(size)))
    other = SubspaceEmbedding(size, WIDTH, own_rows=3, tied=True, codes=ReclusterCodes).double()
    other.load_state_dict(embedding.state_dict())
    torch.testing.assert_close(other.table.cross_entropy(hidden, targets), expected)


@pytest.mark.parametrize("at", [[], [0.5, 0.2], [0.0], [1.0], [0.3, 0.3]])
def test_points_of_clustering_lie_in_the_run(at: list[float]) -> None:
    with pytest.raises(ValueError, match="rising fractions"):
        ReclusterCodes(at)
