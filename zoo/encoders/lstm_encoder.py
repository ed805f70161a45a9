"""LSTM layers with variational dropout."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import Encoder, EncoderOutput, Layout
from zoo.layers.lstm import lstm_recurrence

_State = tuple[Tensor, Tensor]


class LSTMEncoder(Encoder):
    """LSTM layers over packed sequences, from left to right, with variational dropout (VD-LSTM).

    `i, f, o = s(W x + U h + b)`, `g = tanh(W x + U h + b)`, `c_t = f c_{t-1} + i g`, `h_t = o tanh(c_t)`. In training
    mask m_0 covers the embedded input, and m_l all that is read of h_l: its recurrence, and the input of layer l + 1
    or of the output head. A mask is drawn once for each sequence of a batch, is the same at all its steps, and covers
    all four gates alike; cells have none.

    Where a batch `continues` the one before, sequence i begins with the state that sequence i ended with, without a
    gradient. Training and evaluation keep a state each. It is in no checkpoint: a run that is resumed in mid-epoch
    begins with zeros.

    Args:
        width: D, of the input and of every layer.
        num_layers: number of layers.
        dropout: probability that a mask drops a number, in [0, 1).
        init_range: r; all weights and biases begin uniform in [-r, r].

    Raises:
        ValueError: if an option is out of range; in `forward`, if the layout is not causal, or continues a batch of
            another number of sequences.

    References:
        H. Inan, K. Khosravi and R. Socher, Tying Word Vectors and Word Classifiers, arXiv 1611.01462, section 5.
        W. Zaremba, I. Sutskever and O. Vinyals, Recurrent Neural Network Regularization, arXiv 1409.2329.
        Y. Gal and Z. Ghahramani on variational dropout, arXiv 1512.05287.
    """

    def __init__(self, width: int, num_layers: int = 2, dropout: float = 0.0, init_range: float = 0.1) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        if init_range <= 0:
            raise ValueError(f"init_range must be above 0, not {init_range}")
        self.width = width
        self.dropout = dropout
        self.layers = nn.ModuleList(_Layer(width) for _ in range(num_layers))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init_range, init_range)
        self._states: dict[bool, list[_State]] = {}

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch."""
        if not layout.causal:
            raise ValueError(
                "LSTMEncoder sees the left side only: use CausalLM as objective, or DenseEncoder with this one"
            )
        order = _by_time(layout)
        dtype = torch.promote_types(x.dtype, torch.float32)
        masks = self._masks(len(order.sequences), x.new_empty(0, dtype=dtype))
        hidden = x[order.rows].to(dtype) * masks[0][order.sequence_of]
        ends = []
        for layer, mask, state in zip(self.layers, masks[1:], self._begin(masks, layout, order.sequences), strict=True):
            hidden, end = layer(hidden, mask, state, order.sizes)
            ends.append((_scattered(end[0], order.sequences), _scattered(end[1], order.sequences)))
        self._states[self.training] = ends
        return EncoderOutput(_scattered(hidden, order.rows).to(x.dtype))

    def _masks(self, sequences: int, like: Tensor) -> Tensor:
        """One mask for the input and one for each layer: (layers + 1, B, D)."""
        masks = like.new_ones(len(self.layers) + 1, sequences, self.width)
        return F.dropout(masks, self.dropout, self.training)

    def _begin(self, like: Tensor, layout: Layout, sequences: Tensor) -> list[_State]:
        """State of each layer before the first step, in the order of `sequences`."""
        kept = self._states.get(self.training) if layout.continues else None
        if kept is None:
            nothing = like.new_zeros(len(sequences), self.width)
            return [(nothing, nothing)] * len(self.layers)
        if len(kept[0][0]) != len(sequences):
            raise ValueError(
                f"{len(sequences)} sequences cannot continue {len(kept[0][0])}: give every batch the same number"
            )
        return [(hidden.to(like)[sequences], cell.to(like)[sequences]) for hidden, cell in kept]


class _Layer(nn.Module):
    """One layer, with one bias a gate; the gates stand in the order i, f, o, g."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty(4 * width, width))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * width, width))
        self.bias = nn.Parameter(torch.empty(4 * width))

    def forward(self, x: Tensor, mask: Tensor, state: _State, sizes: list[int]) -> tuple[Tensor, _State]:
        """Masked hidden vectors, and the state after the last step; the input side is one product a window."""
        inputs = F.linear(x.to(self.input_weight.dtype), self.input_weight, self.bias)
        # the recurrence adds up over time, so it stays in float32 where products run in less
        return lstm_recurrence(inputs.to(mask.dtype), self.recurrent_weight.to(mask.dtype), mask, state, sizes)


class _ByTime(NamedTuple):
    """A packed batch laid out by time, longest sequence first.

    Args:
        rows: the token of each row.
        sequence_of: number of its sequence among `sequences`.
        sequences: the sequences in their new order.
        sizes: rows of each step.
    """

    rows: Tensor
    sequence_of: Tensor
    sequences: Tensor
    sizes: list[int]


def _by_time(layout: Layout) -> _ByTime:
    lengths, sequences = layout.lengths.sort(descending=True, stable=True)
    starts = layout.cu_seqlens[:-1].long()[sequences]
    steps = torch.arange(layout.max_seqlen, device=starts.device)[:, None]
    alive = steps < lengths
    numbers = torch.arange(len(starts), device=starts.device).expand_as(alive)
    return _ByTime((starts + steps)[alive], numbers[alive], sequences, alive.sum(1).tolist())


def _scattered(values: Tensor, places: Tensor) -> Tensor:
    """`values`, row i at `places[i]`."""
    return torch.empty_like(values).index_copy(0, places, values)
