"""Every combination either computes the same elsewhere or is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from zoo.contracts import EncoderOutput, Layout
from zoo.encode import TextEncoder
from zoo.encoders import DenseEncoder, MoEEncoder
from zoo.encoders.dense_encoder import Norm
from zoo.export import export_encoder
from zoo.export.architectures import dense_encoder
from zoo.layers.feed_forward import GELU, FeedForward, GeGLU, SwiGLU
from zoo.layers.learned_positions import LearnedPositions
from zoo.layers.local_rotary_positions import LocalRotaryPositions
from zoo.layers.rotary_positions import RotaryPositions
from zoo.pretrained import read_pretrained

Make = Callable[..., TextEncoder]

ROTARY, LEARNED = partial(RotaryPositions, base=50.0), partial(LearnedPositions, max_length=30)
# positions, norm, gated -> what it becomes; with biases in attention, in the feed-forward block
EXPECTED = {
    ("rotary", "pre", False): "modernbert",
    ("rotary", "pre", True): "modernbert",
    ("rotary", "post", False): "jina_embeddings_v3",
    ("learned", "pre", False): "roberta-prelayernorm",
    ("learned", "post", False): "bert",
}
GATED_POST_NORM = {(False, False): "nomic_bert", (True, False): "gte"}
COMBINATIONS = list(
    itertools.product(["rotary", "learned"], ["pre", "post"], [GELU, SwiGLU, GeGLU], [False, True], [False, True])
)


def expected(positions: str, norm: str, gated: bool, bias: bool, block_bias: bool) -> str | None:
    if (positions, norm, gated) == ("rotary", "post", True):
        return GATED_POST_NORM.get((bias, block_bias))
    return EXPECTED.get((positions, norm, gated))


@pytest.mark.parametrize(("positions", "norm", "block", "bias", "block_bias"), COMBINATIONS)
def test_transformers_computes_the_same(
    positions: str,
    norm: Any,
    block: type[FeedForward],
    bias: bool,
    block_bias: bool,
    make_encoder: Make,
    texts: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    options = {"feed_forward": partial(block, bias=block_bias), "bias": bias, "norm": Norm(norm, 1e-3)}
    encoder = make_encoder(positions=ROTARY if positions == "rotary" else LEARNED, **options)
    kind = expected(positions, norm, block is not GELU, bias, block_bias)
    if kind is None:
        with pytest.raises(ValueError, match=r"^no stock architecture has .*: train with"):
            export_encoder(encoder, "transformers", tmp_path / "out")
        assert not list(tmp_path.iterdir())
        return
    assert export_encoder(encoder, "transformers", tmp_path / "out") == kind
    check_means(encoder, kind, texts(12), tmp_path / "out")


def check_means(encoder: TextEncoder, kind: str, texts: list[str], folder: Path) -> None:
    """Transformers loads every tensor of `folder`, and the mean of its hidden vectors is our vector."""
    from transformers import AutoModel

    model, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    assert model.config.model_type == kind
    ids = encoder.tokenize(texts)
    with torch.no_grad():
        means = [model(input_ids=torch.tensor([one])).last_hidden_state[0].mean(0) for one in ids]
    vectors = torch.from_numpy(encoder.embed(ids))
    assert float((torch.stack(means) - vectors).abs().max()) < 1e-5
    assert float(vectors.std(0).mean()) > 500e-5, "texts differ by far more than the two models"


LOCAL = partial(LocalRotaryPositions, base=50.0, window=2, every=2, local_base=5.0)


@pytest.mark.parametrize("positions", [LOCAL, ROTARY], ids=["local", "whole"])
@pytest.mark.parametrize("block", [SwiGLU, GELU])
@pytest.mark.parametrize("of_norms", [None, True])
def test_without_the_first_norm_it_is_modernbert_layer_by_layer(
    positions: Any,
    block: type[FeedForward],
    of_norms: bool | None,
    make_encoder: Make,
    texts: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    norm = Norm("pre", 1e-3, first=False, bias=of_norms)
    encoder = make_encoder(positions=positions, norm=norm, feed_forward=block, num_layers=3)
    assert export_encoder(encoder, "transformers", tmp_path / "out") == "modernbert"
    check_means(encoder, "modernbert", texts(12), tmp_path / "out")
    assert "Layer 0" not in (tmp_path / "out" / "README.md").read_text()
    if block is SwiGLU:
        state = encoder.objective.encoder.state_dict()
        again = read_pretrained(tmp_path / "out")
        assert again.encoder_state.keys() == state.keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in again.encoder_state.items())
        found = again.encoder["init_args"]
        assert (found["num_layers"], found["norm"]["first"]) == (3, False)
        assert found["positions"]["init_args"] == positions.keywords


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": LOCAL}, "LocalRotaryPositions and a norm before the first attention: train with norm"),
        ({"positions": LOCAL, "norm": "post"}, "LocalRotaryPositions and a norm before the first attention"),
        (
            {"positions": LEARNED, "norm": Norm("pre", first=False)},
            "LearnedPositions and no norm before the first attention: train with first true in norm",
        ),
    ],
)
def test_what_no_architecture_has_is_refused(
    options: dict[str, Any], message: str, make_encoder: Make, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^no stock architecture has {message}"):
        export_encoder(make_encoder(**options), "transformers", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bias", [False, True])
def test_norms_keep_biases_of_their_own(
    bias: bool, make_encoder: Make, texts: Callable[..., list[str]], tmp_path: Path
) -> None:
    """As in NomicBERT, whose attention has none."""
    encoder = make_encoder(positions=ROTARY, norm=Norm("post", 1e-3, bias=not bias), bias=bias)
    kind = "gte" if bias else "nomic_bert"
    assert export_encoder(encoder, "transformers", tmp_path / "out") == kind
    check_means(encoder, kind, texts(12), tmp_path / "out")
    if not bias:
        state = encoder.objective.encoder.state_dict()
        again = read_pretrained(tmp_path / "out").encoder_state
        assert again.keys() == state.keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in again.items())


class Other(DenseEncoder):
    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        return EncoderOutput(2 * super().forward(x, layout).hidden)


class ReGLU(GeGLU):
    def _activate(self, gate: Tensor) -> Tensor:
        return gate.relu()


def test_what_only_looks_alike_is_refused() -> None:
    with pytest.raises(ValueError, match="no stock architecture is a MoEEncoder: only runs with"):
        dense_encoder(MoEEncoder(16))
    with pytest.raises(ValueError, match="no stock architecture is a Other: only runs with"):
        dense_encoder(Other(16))
    with pytest.raises(ValueError, match="no stock architecture has ReGLU: train with one of GELU, SwiGLU, GeGLU"):
        dense_encoder(DenseEncoder(16, feed_forward=ReGLU))
