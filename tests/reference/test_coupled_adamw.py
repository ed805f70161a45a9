"""Coupled Adam (Stollenwerk and Stollenwerk, arXiv 2502.08441) in its V x H form: slow, and one line an equation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.heads import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.optim import CoupledAdamW
from zoo.optim.groups import by_role

V, H, STEPS = 60, 12, 300
BETA1, BETA2, EPS = 0.9, 0.95, 1e-8


@dataclass
class PaperTable:
    """The paper's optimizer of one table, with a second moment of V x H that is averaged anew each step."""

    table: Tensor
    decay: float = 0.0
    scale: float = 1.0
    m: Tensor = field(init=False)
    v: Tensor = field(init=False)
    t: int = 0

    def __post_init__(self) -> None:
        self.m, self.v = torch.zeros_like(self.table), torch.zeros_like(self.table)

    def step(self, g: Tensor, lr: float) -> None:
        self.t += 1
        self.table *= 1 - lr * self.decay
        self.m = BETA1 * self.m + (1 - BETA1) * g
        self.v = BETA2 * self.v + (1 - BETA2) * g * g
        m_hat = self.m / (1 - BETA1**self.t)
        v_hat = self.v / (1 - BETA2**self.t)
        nu = self.scale * v_hat.mean(0, keepdim=True).expand_as(v_hat)
        self.table -= lr * m_hat / (nu.sqrt() + EPS)


class Bigram(nn.Module):
    """Embedding, one matrix, softmax: the smallest model with tables on both sides."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embedding = TiedEmbedding(V, H, init_std=0.3) if tied else FullEmbedding(V, H, init_std=0.3)
        self.body = nn.Linear(H, H)
        self.head = SoftmaxHead(self.embedding.output_table() or OutputMatrix(V, H, init_std=0.3))

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self.head.loss(torch.tanh(self.body(self.embedding(tokens))), targets).loss

    @property
    def table(self) -> Tensor:
        return self.head.table.weight()


def zipf(count: int) -> Tensor:
    return torch.multinomial(1 / torch.arange(1, V + 1, dtype=torch.float64), count, replacement=True)


def rate(step: int) -> float:
    return 0.02 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / STEPS)) / 2)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize(
    ("decay", "clip", "accumulate", "exponent"),
    [(0.0, None, 1, 0.0), (0.1, None, 1, 2.0), (0.0, 0.5, 1, -2.0), (0.1, 0.5, 3, 0.0)],
    ids=["plain", "decay-scaled", "clipped-scaled", "accumulated"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_equals_the_form_of_the_paper(
    tied: bool, decay: float, clip: float | None, accumulate: int, exponent: float, dtype: torch.dtype
) -> None:
    """Both see the gradients of one trajectory: 1e-12 of the table in float64, 1e-6 of each update in float32."""
    torch.manual_seed(0)
    model = Bigram(tied).to(dtype)
    optimizer = CoupledAdamW(by_role(model), table_weight_decay=decay, scale_exponent=exponent)
    paper = PaperTable(model.table.detach().clone(), decay, 2.0**-exponent)
    before, worst = model.table.detach().clone(), 0.0
    for step in range(STEPS):
        for _ in range(accumulate):
            (model(zipf(40), zipf(40)) / accumulate).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        gradient = model.table.grad
        assert gradient is not None
        start = model.table.detach().clone()
        if dtype == torch.float32:  # from 0, so that the rounding of a sum with the row does not hide the update
            model.table.detach().zero_()
            paper.table.zero_()
        paper.step(gradient.clone(), rate(step))
        optimizer.step()
        optimizer.zero_grad()
        difference = (model.table.detach() - paper.table).abs().max()
        if dtype == torch.float32:
            worst = max(worst, float(difference / paper.table.abs().max()))
            model.table.detach().add_(start)
        else:
            worst = max(worst, float(difference))
    assert float((model.table.detach() - before).abs().max()) > 0.1, "the table was trained"
    assert worst <= (1e-12 if dtype == torch.float64 else 1e-6)


def test_a_table_of_one_row_is_adamw() -> None:
    plain, coupled = (nn.Parameter(torch.ones(1, H, dtype=torch.float64)) for _ in range(2))
    optimizers = [
        torch.optim.AdamW([plain], lr=0.1, betas=(BETA1, BETA2), weight_decay=0.1),
        CoupledAdamW([group_of(coupled)], lr=0.1, table_weight_decay=0.1),
    ]
    for step in range(50):
        gradient = torch.randn(1, H, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        for parameter, optimizer in zip((plain, coupled), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    assert float((plain - coupled).detach().abs().max()) <= 1e-13


def test_rows_of_equal_squares_are_adamw() -> None:
    plain, coupled = (nn.Parameter(torch.zeros(V, H, dtype=torch.float64)) for _ in range(2))
    adamw = torch.optim.AdamW([plain], lr=0.1, betas=(BETA1, BETA2), weight_decay=0.0)
    ours = CoupledAdamW([group_of(coupled)], lr=0.1)
    for step in range(50):
        random = torch.Generator().manual_seed(step)
        signs = torch.randint(0, 2, (V, H), generator=random) * 2 - 1
        gradient = signs * torch.rand(1, H, dtype=torch.float64, generator=random)
        plain.grad, coupled.grad = gradient.clone(), gradient.clone()
        adamw.step()
        ours.step()
    assert float((plain - coupled).detach().abs().max()) <= 1e-13


def test_the_mean_of_the_output_table_stays_and_that_of_adamw_does_not() -> None:
    found = {}
    for name, make in {"coupled": CoupledAdamW, "adamw": torch.optim.AdamW}.items():
        torch.manual_seed(0)
        model = Bigram(tied=False).double()
        start = model.table.detach().mean(0)
        optimizer = make(by_role(model), lr=0.02)
        for _ in range(100):
            optimizer.zero_grad()
            model(zipf(40), zipf(40)).backward()
            optimizer.step()
        found[name] = float((model.table.detach().mean(0) - start).norm())
    assert found["coupled"] < 1e-12
    assert found["adamw"] > 0.1


def test_decay_shrinks_the_mean_by_the_product_of_its_factors() -> None:
    torch.manual_seed(0)
    model = Bigram(tied=False).double()
    start = model.table.detach().mean(0)
    optimizer = CoupledAdamW(by_role(model), lr=0.02, table_weight_decay=0.5)
    for _ in range(40):
        optimizer.zero_grad()
        model(zipf(40), zipf(40)).backward()
        optimizer.step()
    torch.testing.assert_close(model.table.detach().mean(0), start * (1 - 0.02 * 0.5) ** 40, rtol=0, atol=1e-13)


def test_other_parameters_are_trained_by_adamw_exactly() -> None:
    torch.manual_seed(0)
    model = Bigram(tied=False)
    copy = Bigram(tied=False)
    copy.load_state_dict(model.state_dict())
    rest = [p for name, p in copy.named_parameters() if name != "head.table.matrix"]
    groups = [
        {"params": [p for p in rest if p.ndim > 1 and p is not copy.embedding.weight], "weight_decay": 0.1},
        {"params": [p for p in rest if p.ndim < 2 or p is copy.embedding.weight], "weight_decay": 0.0},
    ]
    optimizers = [CoupledAdamW(by_role(model), lr=0.02), torch.optim.AdamW(groups, lr=0.02, betas=(BETA1, BETA2))]
    for step in range(20):
        for one, other in zip(model.parameters(), copy.parameters(), strict=True):
            gradient = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            one.grad, other.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for (name, one), other in zip(model.named_parameters(), copy.parameters(), strict=True):
        assert torch.equal(one, other) == (name != "head.table.matrix"), name


def test_centring_an_untied_output_table_changes_no_loss() -> None:
    """Adding one vector to all rows changes no softmax, so AdamW's losses are the same with the mean removed."""
    losses: dict[bool, list[float]] = {}
    for centred in (False, True):
        torch.manual_seed(0)
        model = Bigram(tied=False).double()
        optimizer = torch.optim.AdamW(by_role(model), lr=0.02, weight_decay=0.0)
        losses[centred] = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = model(zipf(40), zipf(40))
            loss.backward()
            optimizer.step()
            losses[centred].append(float(loss.detach()))
            if centred:
                with torch.no_grad():
                    model.table.sub_(model.table.mean(0))
    assert max(abs(a - b) for a, b in zip(*losses.values(), strict=True)) < 1e-12


def group_of(table: nn.Parameter) -> dict[str, object]:
    return {"role": "vocabulary", "side": "output", "zero_sum": True, "params": [table], "table_rows": [None]}


def test_the_gradient_of_a_softmax_sums_to_zero_over_rows() -> None:
    torch.manual_seed(0)
    weight = torch.randn(V, H, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(torch.randn(9, H, dtype=torch.float64) @ weight.T, torch.randint(V, (9,))).backward()
    assert weight.grad is not None
    assert float(weight.grad.sum(0).abs().max()) < 1e-15
