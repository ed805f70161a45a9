"""A network over the last few tokens."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import Encoder, EncoderOutput, Layout


class NGramEncoder(Encoder):
    """The vectors of the last `context` tokens of a sequence, one after the other, through layers of ReLU.

    `h_t = W_out f(W_L ... f(W_1 [x_{t - context + 1}; ...; x_t]))`, with biases; before the first token of a sequence
    stand vectors of 0. Under `CausalLM` it is the feed-forward n-gram model with n = context + 1: each token from the
    `context` before it.

    Args:
        width: D, of the input and of the output.
        context: how many tokens it sees, at least 1.
        hidden: width of the hidden layers.
        num_layers: number of hidden layers, at least 1.

    Raises:
        ValueError: if an option is out of range; in `forward`, if the layout is not causal.

    References:
        Y. Bengio et al., A Neural Probabilistic Language Model, JMLR 3 (2003).
    """

    def __init__(self, width: int, context: int = 4, hidden: int = 512, num_layers: int = 1) -> None:
        super().__init__()
        for name, value in (("context", context), ("hidden", hidden), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.width, self.context = width, context
        sizes = [context * width, *[hidden] * num_layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.output = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch.

        Raises:
            ValueError: if tokens may see those behind them.
        """
        if not layout.causal:
            raise ValueError(
                "NGramEncoder sees the left side only: use CausalLM as objective, or DenseEncoder with this one"
            )
        place = torch.arange(len(x), device=x.device)
        starts = layout.cu_seqlens[:-1].long().repeat_interleave(layout.lengths)
        windows = []
        for back in range(self.context - 1, -1, -1):
            inside = place - back >= starts
            windows.append(x[(place - back).clamp(min=0)] * inside[:, None])
        hidden = torch.cat(windows, 1)
        for layer in self.layers:
            hidden = layer(hidden).relu()
        return EncoderOutput(self.output(hidden))
