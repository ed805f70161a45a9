"""The output side: from hidden vectors to losses and scores of tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts.batches import Vocabulary
from zoo.contracts.embeddings import OutputTable, TokenEmbedding


@dataclass(frozen=True)
class HeadLoss:
    """Loss of an output head.

    Args:
        loss: what is minimised, mean over the rows, in nats where the head is a probability.
        nll: mean negative log-likelihood of the targets in nats, without regularisers, detached.
        diagnostics: scalars by name that are only logged.
    """

    loss: Float[Tensor, ""]
    nll: Float[Tensor, ""]
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class OutputHead(nn.Module, ABC):
    """Hidden vectors to a loss over the vocabulary. Built by an objective as `factory(output_table)`.

    Attributes:
        table: the output table; a head with rows of its own has none.
        zero_sum: whether the gradient of the loss with respect to the table sums to 0 over its rows, as that of a
            softmax does, so that gradient descent leaves their mean where it is.
        start_at_frequencies: whether a bias starts at the frequencies of the tokens.
        needs_calibration: whether `log_probs` means something after `calibrate` only.
        target_values: what the values of `sparse_loss` are: `weights` of classes, or what their `outputs` should be.
            None where a row has one target.
    """

    vocabulary_side: ClassVar[str] = "output"
    zero_sum: bool
    start_at_frequencies: bool = False
    needs_calibration: bool = False
    target_values: Literal["weights", "outputs"] | None = None
    table: OutputTable

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Told once, when the model is built: the input side, for heads that need more than the table."""

    def use_vocabulary(self, vocabulary: Vocabulary, counts: Int[Tensor, " vocab"]) -> None:
        """Told once, before training begins: what `TokenEmbedding.use_vocabulary` is told."""

    def start_bias(self, counts: Int[Tensor, " vocab"]) -> None:
        """Told once, before training begins, where the bias is new: how often each token occurs."""

    @abstractmethod
    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Training loss; never obliged to build the (N, V) scores."""

    def sparse_loss(
        self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"], values: Float[Tensor, "rows k"]
    ) -> HeadLoss:
        """Training loss of K targets a row, where `target_values` says what the values are.

        Args:
            hidden: N vectors.
            targets: N x K classes.
            values: of the targets, 0 where there is none.

        Raises:
            ValueError: if there is no row, or a row has one target.
        """
        raise ValueError(f"{type(self).__name__} has one target a row: use SoftmaxHead or SparseTargetHead")

    @abstractmethod
    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32, for evaluation."""

    def calibrate(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> None:
        """Fit what turns scores into probabilities, where the loss is none, to rows that are then not scored."""

    @abstractmethod
    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""

    @abstractmethod
    def ranks(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """Place of each target among all V tokens, best first, by what `topk` orders them by.

        It is the number of tokens that score at least as high, the target included: 1 + the number of better ones where
        scores differ, and the worst place of those that share a score. Equal scores for all tokens are rank V, and so
        is a score that is no number. Scores are computed in at least float32, whatever runs under autocast, because
        many tokens share a score in half precision. (N, V) scores are never held.
        """

    @abstractmethod
    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from the probabilities to the power of `1 / temperature`, normalised again.

        Args:
            hidden: N vectors.
            temperature: above 0.
            generator: source of randomness on the device of `hidden`; None is the global one.
        """
