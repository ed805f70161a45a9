"""A softmax that is also pulled towards the words that are similar to the target."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import HeadLoss, OutputHead, OutputTable, TokenEmbedding
from zoo.layers.augmented_cross_entropy import augmented_cross_entropy, quadratic_divergence


class AugmentedSoftmaxHead(OutputHead):
    """`J = CE(y, softmax(W h + b)) + gamma tau KL(softmax(L l_y / tau) || softmax(W h / tau))`.

    The teacher of a target is how similar its input vector l_y is to the input vectors L of all tokens. It belongs to
    training: log-probabilities and the reported nll are those of the plain softmax.

    Args:
        table: the output table W, V x D.
        bias: whether there is one learned number b a token; it has no part in the second term.
        strength: gamma, at least 0; 0 is the plain softmax.
        temperature: tau, above 0.
        teacher_gradient: whether the second term also trains L through the teacher.
        form: `exact`, or `quadratic`, its limit for high temperatures without any work of N x V (in the tests less
            than 5 % off in the gradient at tau 20, and half as much at twice the tau).

    Raises:
        ValueError: if gamma or tau is out of range, or the quadratic form is asked for a teacher's gradient.

    References:
        H. Inan, K. Khosravi and R. Socher, Tying Word Vectors and Word Classifiers, arXiv 1611.01462, section 3.

    Differs from the paper:
        The paper does not say whether the teacher is trained; here it is not, unless asked for.
    """

    def __init__(
        self,
        table: OutputTable,
        bias: bool = False,
        strength: float = 1.0,
        temperature: float = 20.0,
        teacher_gradient: bool = False,
        form: Literal["exact", "quadratic"] = "exact",
    ) -> None:
        super().__init__()
        if temperature <= 0 or strength < 0:
            raise ValueError(
                f"temperature={temperature} and strength={strength}: set temperature above 0 and strength to at least 0"
            )
        if teacher_gradient and form == "quadratic":
            raise ValueError("the quadratic form has no teacher gradient: set form: exact or teacher_gradient: false")
        self.table = table
        self.bias = nn.Parameter(torch.zeros(table.num_rows)) if bias else None
        self.strength, self.temperature = strength, temperature
        self.teacher_gradient, self.form = teacher_gradient, form
        # the part through the looked-up row of the target does not cancel
        self.zero_sum = not teacher_gradient
        self._teacher: tuple[TokenEmbedding, ...] = ()

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Take the teacher's vectors from `embedding`; without one they are the rows of the output table."""
        self._teacher = (embedding,)  # in a tuple, so that it does not become a part of this module

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean loss in nats; the diagnostic `divergence` is the mean KL.

        Raises:
            ValueError: if there is no row.
        """
        if self.strength == 0 or not torch.is_grad_enabled():
            plain = self.table.cross_entropy(hidden, targets, self.bias)
            return HeadLoss(plain, plain.detach())
        weight = self.table.weight()
        teacher = self._teacher_rows(weight)
        strength = self.strength * self.temperature
        if self.form == "quadratic":
            plain = self.table.cross_entropy(hidden, targets, self.bias)
            divergence = quadratic_divergence(hidden, weight, teacher, targets, self.temperature)
            loss, nll, divergence = plain + strength * divergence, plain.detach(), divergence.detach()
        else:
            loss, divergence = augmented_cross_entropy(
                hidden,
                weight,
                teacher,
                targets,
                self.bias,
                temperature=self.temperature,
                strength=strength,
                attached=self.teacher_gradient,
            )
            nll = loss.detach() - strength * divergence
        return HeadLoss(loss, nll, {"divergence": divergence})

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32."""
        return self.table.log_probs(hidden, targets, self.bias)

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        return self.table.topk(hidden, k, self.bias)

    def _teacher_rows(self, weight: Tensor) -> Tensor:
        if not self._teacher or self._teacher[0].output_table() is self.table:
            return weight
        with torch.set_grad_enabled(self.teacher_gradient):
            rows: Tensor = self._teacher[0](torch.arange(self.table.num_rows, device=weight.device))
        return rows.to(weight.dtype)
