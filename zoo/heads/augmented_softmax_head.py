"""A softmax that is also pulled towards the words that are similar to the target."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.contracts import HeadLoss, OutputHead, OutputTable, TokenEmbedding
from zoo.heads.softmax_head import SoftmaxHead
from zoo.layers.augmented_cross_entropy import augmented_cross_entropy
from zoo.layers.projected_table import ProjectedTable
from zoo.layers.quadratic_divergence import quadratic_divergence


class AugmentedSoftmaxHead(SoftmaxHead):
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
        balance: beta in [0, 1]; where it is given the loss is `(1 - beta) CE + beta tau^2 V KL` in place of the sum
            above, and gamma has no part in it. At 1 words and classifier come to span one space (section 4).

    Raises:
        ValueError: if gamma, tau or beta is out of range, or the quadratic form is asked for a teacher's gradient.

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
        balance: float | None = None,
    ) -> None:
        super().__init__(table, bias)
        self.target_values = None
        if temperature <= 0 or strength < 0:
            raise ValueError(
                f"temperature={temperature} and strength={strength}: set temperature above 0 and strength to at least 0"
            )
        if balance is not None and not 0 <= balance <= 1:
            raise ValueError(f"balance must lie in [0, 1], not {balance}: null leaves the weights to strength")
        if teacher_gradient and form == "quadratic":
            raise ValueError("the quadratic form has no teacher gradient: set form: exact or teacher_gradient: false")
        if not table.scores_are_products:
            raise ValueError(
                f"AugmentedSoftmaxHead compares products of vectors, and {type(table).__name__} scores by chains of "
                "digits: use SubspaceEmbedding, or SoftmaxHead"
            )
        self.strength, self.temperature = strength, temperature
        self.teacher_gradient, self.form, self.balance = teacher_gradient, form, balance
        # the part through the looked-up row of the target does not cancel
        self.zero_sum = not teacher_gradient
        self._teacher: tuple[TokenEmbedding, ...] = ()

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Take the teacher's vectors from `embedding`; without one they are the rows of the output table."""
        self._teacher = (embedding,)  # in a tuple, so that it does not become a part of this module

    # that of the softmax would leave the augmentation out
    sparse_loss = OutputHead.sparse_loss

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean loss in nats; the diagnostic `divergence` is the mean KL.

        Raises:
            ValueError: if there is no row.
        """
        plain, strength = 1.0, self.strength * self.temperature
        if self.balance is not None:
            plain, strength = 1 - self.balance, self.balance * self.temperature**2 * self.table.num_rows
        if not torch.is_grad_enabled() or (strength == 0 and plain == 1):
            return super().loss(hidden, targets)
        weight = self.table.weight()
        teacher = self._teacher_rows(weight)
        if self.form == "quadratic":
            nll = self.table.cross_entropy(hidden, targets, self.bias)
            divergence = quadratic_divergence(hidden, weight, teacher, targets, self.temperature)
            loss = plain * nll + strength * divergence
        else:
            loss, nll, divergence = augmented_cross_entropy(
                hidden,
                weight,
                teacher,
                targets,
                self.bias,
                temperature=self.temperature,
                strength=strength,
                plain=plain,
                attached=self.teacher_gradient,
            )
        return HeadLoss(loss, nll.detach(), {"divergence": divergence.detach()})

    def _teacher_rows(self, weight: Tensor) -> Tensor:
        # the rows of a projected table are not what is looked up
        tied = self._teacher and self._teacher[0].output_table() is self.table
        if not self._teacher or (tied and not isinstance(self.table, ProjectedTable)):
            return weight
        with torch.set_grad_enabled(self.teacher_gradient):
            rows: Tensor = self._teacher[0](torch.arange(self.table.num_rows, device=weight.device))
        return rows.to(weight.dtype)
