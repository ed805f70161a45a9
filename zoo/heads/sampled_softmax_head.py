"""A softmax that is trained on a few tokens in place of all."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import HeadLoss, OutputHead, OutputTable, Vocabulary
from zoo.heads.softmax_head import SoftmaxHead
from zoo.layers.stratified_draws import expected_draws, stratified_draws

Distribution = Literal["log_uniform", "unigram", "uniform"]


class SampledSoftmaxHead(SoftmaxHead):
    """`J = -mean log(exp(s_y) / (exp(s_y) + sum_{j in S, j != y} exp(s_j - log E_j)))` with `s = W h + b`.

    S are `num_samples` tokens, drawn anew for each batch and shared by its rows; E_j is how often j is drawn on
    average. The sum is right on average, so J tends to the cross-entropy as S grows, and is the cross-entropy where S
    holds all tokens; below that it is too low on average. A training step reads the rows of S and of the targets and
    holds N x S scores; nothing is of N x V.

    It belongs to training: log-probabilities, best tokens, samples and, where no gradient is recorded, the loss are
    those of the full softmax. In training `nll` is J. The gradient sums to 0 over the rows of the table in every
    batch, whatever is drawn: it is that of a softmax over the target and S.

    Args:
        table: the output table W, V x D.
        num_samples: how many tokens are drawn a batch, at least 1; V and more are all.
        bias: whether there is one learned number b a token.
        start_at_frequencies: whether the bias starts at `log(count + 1)`, as in `SoftmaxHead`.
        distribution: the chances that tokens are drawn by: `log_uniform`, `log((r + 2) / (r + 1))` of the token at
            place r by frequency; `unigram`, `(count + 1)^power`; `uniform`. Until frequencies are known tokens are in
            the order of their ids, and counts are 0.
        power: of `unigram` alone, in [0, 1].

    Raises:
        ValueError: if a number is out of range, the distribution is unknown, or the scores of the table are not
            products of vectors.

    References:
        S. Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, arXiv 1412.2007.
        Y. Bengio and J.-S. Senecal, Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic
        Language Model, IEEE Transactions on Neural Networks 19(4), 2008.

    Differs from the paper:
        Tokens are drawn in strata, so that hardly one repeats and frequent ones are always in; the score of the target
        is not corrected, because it is in the sum with certainty.
    """

    zero_sum = True
    counts: Tensor

    def __init__(
        self,
        table: OutputTable,
        num_samples: int = 1024,
        bias: bool = True,
        start_at_frequencies: bool = False,
        distribution: Distribution = "log_uniform",
        power: float = 0.75,
    ) -> None:
        super().__init__(table, bias, start_at_frequencies)
        self.target_values = None
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: a sampled softmax draws at least one token, 1024 by default")
        if not 0 <= power <= 1:
            raise ValueError(f"power must lie in [0, 1], not {power}: 0 is uniform, 1 as often as in the texts")
        if distribution not in ("log_uniform", "unigram", "uniform"):
            raise ValueError(f"distribution={distribution!r}: write log_uniform, unigram or uniform")
        if not table.scores_are_products:
            raise ValueError(
                f"SampledSoftmaxHead multiplies single rows of the table, and {type(table).__name__} scores by chains "
                "of digits: use SubspaceEmbedding, or SoftmaxHead"
            )
        self.num_samples, self.distribution, self.power = num_samples, distribution, power
        self.register_buffer("counts", torch.zeros(table.num_rows, dtype=torch.int64))
        self._proposal: tuple[Tensor, Tensor, Tensor] | None = None

    def use_vocabulary(self, vocabulary: Vocabulary, counts: Int[Tensor, " vocab"]) -> None:
        """Draw by these frequencies, which become a part of checkpoints."""
        self.counts.copy_(counts)
        self._proposal = None

    # that of the softmax would score all tokens
    sparse_loss = OutputHead.sparse_loss

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """J in nats, with a new draw at each call; the mean cross-entropy where no gradient is recorded.

        Raises:
            ValueError: if there is no row.
        """
        if not torch.is_grad_enabled():
            return super().loss(hidden, targets)
        if len(targets) == 0:
            raise ValueError("cross-entropy needs at least one target: the batch holds none")
        drawn, expected = self.draw()
        drawn = drawn.to(hidden.device)
        # one look-up, because each has a gradient of the size of the table
        rows, of_targets = self.table.rows(torch.cat([drawn, targets])).split([len(drawn), len(targets)])
        wide = torch.promote_types(torch.promote_types(hidden.dtype, rows.dtype), torch.float32)
        scores, picked = (hidden @ rows.T).to(wide), (hidden.to(wide) * of_targets.to(wide)).sum(-1)
        if self.bias is not None:
            scores, picked = scores + self.bias[drawn], picked + self.bias[targets]
        correction = expected.log().to(wide).to(hidden.device)
        others = (scores - correction).masked_fill(targets[:, None] == drawn, -torch.inf)
        loss = F.cross_entropy(torch.cat([picked[:, None], others], 1), torch.zeros_like(targets))
        return HeadLoss(loss, loss.detach())

    def draw(
        self, generator: torch.Generator | None = None
    ) -> tuple[Int[Tensor, " samples"], Float[Tensor, " samples"]]:
        """Token ids of one draw and how often each of them is drawn on average, in float64, on the CPU.

        Args:
            generator: source of randomness on the CPU; None is the global one.
        """
        if self._proposal is None:
            self._proposal = self._make_proposal()
        ids, expected, cumulative = self._proposal
        places = stratified_draws(cumulative, generator)
        return ids[places], expected[places]

    def _make_proposal(self) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids from the most to the least frequent, the expected draws of each, and their running sum."""
        # on the CPU, so that a seed means the same on every device
        counts, ids = self.counts.cpu().sort(descending=True, stable=True)
        places = torch.arange(len(counts), dtype=torch.float64)
        if self.distribution == "log_uniform":
            weights = ((places + 2) / (places + 1)).log()
        else:
            weights = (counts + 1).double() ** (self.power if self.distribution == "unigram" else 0.0)
        expected = expected_draws(weights, self.num_samples)
        return ids, expected, expected.cumsum(0)

    def _load_from_state_dict(self, *arguments: object, **named: object) -> None:
        self._proposal = None
        super()._load_from_state_dict(*arguments, **named)
