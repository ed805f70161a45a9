"""Predicting the words of a text from its embedding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import EncoderOutput, HeadLoss, PackedBatch, Vocabulary
from zoo.layers.bags import bags
from zoo.layers.pooling import mean_pool
from zoo.objectives.factories import (
    AdamW,
    DenseEncoder,
    EmbeddingFactory,
    EncoderFactory,
    FullEmbedding,
    HeadFactory,
    OptimizerFactory,
    ScheduleFactory,
    SoftmaxHead,
    WarmupCosine,
)
from zoo.objectives.vocabulary_objective import VocabularyObjective

_LOOKED_AT = 20  # outputs of a text in a validation


@dataclass(frozen=True)
class Bag:
    """What is predicted of a text, and what is hidden of it.

    Args:
        num_targets: K, most targets a text.
        mask_fraction: share of the tokens that the encoder sees as `[MASK]` in training, in [0, 1): those words must be
            guessed from the others.

    Raises:
        ValueError: if a number is out of range.
    """

    num_targets: int = 100
    mask_fraction: float = 0.3

    def __post_init__(self) -> None:
        if self.num_targets < 1:
            raise ValueError(f"num_targets must be at least 1, not {self.num_targets}")
        if not 0 <= self.mask_fraction < 1:
            raise ValueError(f"mask_fraction must lie in [0, 1), not {self.mask_fraction}")


HUNDRED_WORDS = Bag()


class BagOfWords(VocabularyObjective):
    """Predict which words a text has, and how telling each is, from the mean of its hidden vectors.

    A token that stands n times in the text and c times among all C of the training texts weighs
    `(1 + log n) log(C / c)`; the `bag.num_targets` heaviest of a text are its targets. A head that weighs classes
    (`SoftmaxHead`; `SparseTargetHead` under a loss of classes) is given weights y that sum to 1 and minimises
    `sum_k y_k l(t_k)`; one that fits outputs (`SparseTargetHead` under `SquaredError`) is given a y of norm 1, 0 for
    all other tokens, and minimises `|W h - y|^2`. The embedding of the text is what a benchmark scores, so that nothing
    that this trains is thrown away but the head.

    Args:
        width: D, also the size of the text embeddings.
        embedding: factory of the token embedding.
        encoder: factory of the encoder; it sees both sides.
        head: factory of the output head.
        optimizer: factory of the optimizer, given parameter groups by role.
        schedule: factory of the learning-rate schedule, given the optimizer and the number of steps.
        bag: how many targets a text has (`num_targets`), and what share of it is hidden in training (`mask_fraction`).
        init_from: trained model whose weights training starts from: run folder, checkpoint or Hugging Face encoder.

    Raises:
        ValueError: if the head has one target a row only.

    References:
        G. Ma et al., Drop your Decoder: Pre-training with Bag-of-Word Prediction for Dense Passage Retrieval,
        arXiv 2401.11248, which predicts unweighted words beside masked tokens.
        P. Vincent, A. de Brebisson and X. Bouthillier, arXiv 1412.7091, for regression to K-sparse targets.
    """

    rarity: Tensor

    def __init__(
        self,
        width: int = 256,
        embedding: EmbeddingFactory = FullEmbedding,
        encoder: EncoderFactory = DenseEncoder,
        head: HeadFactory = SoftmaxHead,
        optimizer: OptimizerFactory = AdamW,
        schedule: ScheduleFactory = WarmupCosine,
        bag: Bag = HUNDRED_WORDS,
        init_from: str | None = None,
    ) -> None:
        super().__init__(width, embedding, encoder, head, optimizer, schedule, init_from)
        self.bag = bag

    def build_output(self, vocabulary: Vocabulary) -> None:
        """The head, and how telling each token is: all alike, until it is known how often they occur."""
        super().build_output(vocabulary)
        if self.head.target_values is None:
            raise ValueError(
                f"{type(self.head).__name__} over this table has one target a row, and a bag of words has many: "
                "use SoftmaxHead or SparseTargetHead over FullEmbedding, TiedEmbedding or SubspaceEmbedding"
            )
        rarity = torch.ones(vocabulary.size)
        rarity[list(vocabulary.special_ids)] = 0
        self.register_buffer("rarity", rarity)

    def use_counts(self, counts: Int[Tensor, " vocab"]) -> None:
        """Weigh tokens by how often they occur in the training texts; special tokens are no words."""
        words = counts.double()
        words[list(self.vocabulary.special_ids)] = 0
        self.rarity.copy_((words.sum().clamp(min=1) / words.clamp(min=1)).log())
        self.rarity[list(self.vocabulary.special_ids)] = 0

    def on_fit_start(self) -> None:
        """Start a new model; a resumed run has the weights of tokens from its checkpoint."""
        super().on_fit_start()
        if self.token_counts is not None:
            self.use_counts(self.token_counts)

    def targets(self, batch: PackedBatch) -> tuple[Int[Tensor, "texts k"], Float[Tensor, "texts k"]]:
        """Targets of each text and their values; a text of special tokens alone has values of 0."""
        ids, weights = bags(batch, self.rarity, self.bag.num_targets)
        return ids, F.normalize(weights, p=1 if self.head.target_values == "weights" else 2, dim=-1)

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        output = self.encode(self.mask(batch), causal=False)
        result = self.bag_loss(batch, output)
        self.count_tokens(batch)
        self.report("train", {"loss": result.loss, **result.diagnostics}, batch_size=batch.num_sequences)
        return self.total_loss(result.loss, output)

    def mask(self, batch: PackedBatch) -> PackedBatch:
        """The batch with a random share of its words hidden."""
        special = torch.tensor(self.vocabulary.special_ids, device=batch.tokens.device)
        # drawn on the CPU, so that a seed means the same on every device
        drawn = torch.rand(len(batch.tokens)).to(batch.tokens.device) < self.bag.mask_fraction
        drawn &= torch.isin(batch.tokens, special, invert=True)
        return replace(batch, tokens=batch.tokens.masked_fill(drawn, self.vocabulary.mask_id))

    def bag_loss(self, batch: PackedBatch, output: EncoderOutput) -> HeadLoss:
        """Mean loss of the texts that have words, from what the encoder made of them.

        Raises:
            ValueError: if none has.
        """
        ids, values = self.targets(batch)
        has_words = values.any(-1)
        pooled = mean_pool(output.hidden, batch.layout(causal=False))
        return self.head.sparse_loss(pooled[has_words], ids[has_words], values[has_words])

    def embed(self, batch: PackedBatch) -> Float[Tensor, "sequences dim"]:
        """One vector a text, float32, not normalised."""
        return mean_pool(self.encode(batch, causal=False).hidden, batch.layout(causal=False))

    def _evaluate(self, stage: str, batch: PackedBatch) -> None:
        output = self.encode(batch, causal=False)
        ids, values = self.targets(batch)
        pooled = mean_pool(output.hidden, batch.layout(causal=False))
        best = self.head.topk(pooled, min(_LOOKED_AT, self.vocabulary.size))[1]
        hits = ((best[:, :, None] == ids[:, None]) & (values[:, None] > 0)).any(-1)
        found = {"loss": self.bag_loss(batch, output).loss, "precision_at_20": hits.float().mean()}
        self.report(stage, found, batch_size=batch.num_sequences)

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Loss, and the share of the 20 best outputs of a text that are targets of it; nothing is masked."""
        self._evaluate("val", batch)

    def test_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Loss and precision on the test split."""
        self._evaluate("test", batch)

    def predict_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Embeddings of texts."""
        return self.embed(batch)
