"""What all objectives share: building from factories, optimizer and schedule, counts, checkpoint header."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from tokenizers import Tokenizer
from torch import Tensor

from zoo.contracts import (
    DataView,
    Encoder,
    EncoderOutput,
    JsonDict,
    OutputHead,
    PackedBatch,
    TokenEmbedding,
    Vocabulary,
)
from zoo.data import TextDataModule
from zoo.data.tokenizers import vocabulary_of
from zoo.donor import Donor, read_donor, take_over
from zoo.objectives.factories import EmbeddingFactory, EncoderFactory, OptimizerFactory, ScheduleFactory
from zoo.objectives.grad_cache import Embedded
from zoo.objectives.stepping import SteppingModule
from zoo.optim.fused import prefer_fused
from zoo.optim.groups import by_role


class Objective(SteppingModule, ABC):
    """A model that is put together in `build`, when the vocabulary is known, and trained by a subclass's loss.

    Attributes:
        resolved_config: the `model` part of the resolved configuration (class_path, init_args), set by the CLI; it is
            what a checkpoint is loaded from. None where the objective was made in Python.
        tokens_seen: real tokens trained on so far, over all processes.
        token_counts: how often each token occurs in the training texts, int64 (V,); None where there was no training.
        adapted_from: the model that training started from: `path`, SHA-256 of its `weights`, and the names of the parts
            that were `taken` from it or are `new`. None where all parts are new.
    """

    embedding: TokenEmbedding
    encoder: Encoder
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    max_length: int
    _tokens_seen: Tensor

    def __init__(
        self,
        width: int,
        embedding: EmbeddingFactory,
        encoder: EncoderFactory,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.width = width
        self._make_embedding, self._make_encoder = embedding, encoder
        self._make_optimizer, self._make_schedule = optimizer, schedule
        self.init_from = init_from
        self.adapted_from: JsonDict | None = None
        self.resolved_config: JsonDict | None = None
        self.run_facts: JsonDict = {}
        self.token_counts: Tensor | None = None
        self.register_buffer("_tokens_seen", torch.zeros((), dtype=torch.int64))

    @property
    @abstractmethod
    def view(self) -> DataView:
        """What this objective asks of its data."""

    @property
    def is_built(self) -> bool:
        """Whether the modules exist."""
        return hasattr(self, "vocabulary")

    @property
    def tokens_seen(self) -> int:
        """Real tokens trained on so far, over all processes."""
        return int(self._tokens_seen)

    def build(self, tokenizer: Tokenizer, max_length: int) -> None:
        """Make the modules for the vocabulary of `tokenizer`. Does nothing the second time.

        Args:
            tokenizer: turns text into `[CLS] tokens [SEP]`.
            max_length: longest sequence the model is trained on, in tokens.
        """
        if self.is_built:
            return
        vocabulary = vocabulary_of(tokenizer)
        self.embedding = self._make_embedding(vocabulary.size, self.width)
        self.encoder = self._make_encoder(self.width)
        self.build_output(vocabulary)
        self.keep_from_broadcasts()
        self.tokenizer, self.max_length, self.vocabulary = tokenizer, max_length, vocabulary

    @abstractmethod
    def build_output(self, vocabulary: Vocabulary) -> None:
        """Make what stands behind the encoder; `embedding` and `encoder` exist."""

    def configure_model(self) -> None:
        """Build for the data of the trainer, inside Lightning's device and precision context."""
        data = getattr(self.trainer, "datamodule", None)
        if data is None and not self.is_built:
            raise ValueError("an objective takes its tokenizer from a data module: pass one to the trainer")
        if data is not None:
            self.build(data.tokenizer, data.max_length)

    def encode(self, batch: PackedBatch, *, causal: bool) -> EncoderOutput:
        """Hidden vectors of a batch."""
        output: EncoderOutput = self.encoder(self.embedding(batch.tokens), batch.layout(causal=causal))
        return output

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer over the role groups, one schedule by step.

        Raises:
            ValueError: if the schedule has no end, or losses are scaled (16-mixed) under a table that steps itself.
        """
        if self.self_updating and str(self.trainer.precision).startswith("16"):
            raise ValueError(
                f"precision {self.trainer.precision} scales losses, which a table that steps itself cannot undo: "
                "set trainer.precision to bf16-mixed or 32-true"
            )
        optimizer = self._make_optimizer(by_role(self))
        prefer_fused(optimizer)
        total = self.trainer.estimated_stepping_batches
        if total == float("inf"):
            raise ValueError("the schedule needs an end: set trainer.max_steps or trainer.max_epochs")
        self._total_steps = int(total)
        schedule = self._make_schedule(optimizer, self._total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Start a new model: from the weights of `init_from`, and with what the embedding will be trained on.

        A resumed run has both from its checkpoint.
        """
        self.check_self_updating()
        if self.trainer.ckpt_path is not None or self.tokens_seen > 0:
            return
        donor = None if self.init_from is None else read_donor(self.init_from)
        if donor is not None:
            self._start_from(donor)
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, TextDataModule):
            self.token_counts = torch.from_numpy(data.token_counts())
            self._use_vocabulary(self.token_counts, None if donor is None else donor.full_table())

    def _use_vocabulary(self, counts: Tensor, trained: Tensor | None) -> None:
        """Tell what is new; codes and biases that came from another model stay as they are."""
        taken = () if self.adapted_from is None else self.adapted_from["taken"]
        if "embedding" not in taken:
            self.embedding.use_vocabulary(self.vocabulary, counts, trained)
            self._share_embedding()
        head: OutputHead | None = getattr(self, "head", None)
        if head is None:
            return
        head.use_vocabulary(self.vocabulary, counts)
        if "head.bias" not in taken:
            head.start_bias(counts)
            if not self.embedding.knows_frequencies and not head.start_at_frequencies:
                warnings.warn(
                    "a tied softmax over these codes does not know how frequent tokens are: set "
                    "model.embedding.own_rows, or SoftmaxHead with bias: true and start_at_frequencies: true",
                    stacklevel=2,
                )

    def _share_embedding(self) -> None:
        """Give all processes the embedding of the first: clusters that each finds for itself can differ."""
        if self.trainer.world_size > 1:
            for tensor in (*self.embedding.parameters(), *self.embedding.buffers()):
                torch.distributed.broadcast(tensor.detach(), 0)

    def _start_from(self, donor: Donor) -> None:
        modules = {name: getattr(self, name) for name in ("embedding", "encoder", "head") if hasattr(self, name)}
        config = (self.resolved_config or {}).get("init_args", {}).get("embedding")
        found = take_over(modules, self.vocabulary, donor, config)
        self.adapted_from = {"path": donor.path, "weights": donor.weights, **asdict(found)}

    def on_train_start(self) -> None:
        """Remember the seed of the run."""
        self._seed = torch.initial_seed()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed each step by what came before it, so that a resumed run masks and drops as an uninterrupted one does."""
        numbers = np.random.SeedSequence([self._seed, self.tokens_seen, self.global_rank])
        torch.manual_seed(int(numbers.generate_state(1)[0]))
        self.encoder.before_step(self.trainer.global_step)
        anew = self.embedding.before_step(self.trainer.global_step, self._total_steps)
        if anew:
            self._share_embedding()
        for parameter in anew:
            for optimizer in self.trainer.optimizers:
                optimizer.state.pop(parameter, None)

    def report(self, stage: str, values: Mapping[str, Tensor], *, batch_size: int) -> None:
        """Log `values` as `stage/name`; validation means are weighted by `batch_size` and taken over processes."""
        training = stage.startswith("train")
        for name, value in values.items():
            self.log(
                f"{stage}/{name}",
                value,
                batch_size=batch_size,
                prog_bar=name == "loss",
                on_step=training,
                on_epoch=not training,
                sync_dist=not training,
            )

    def total_loss(self, task_loss: Tensor, *outputs: EncoderOutput | Embedded) -> Tensor:
        """Task loss plus the encoder's own losses, each of them logged apart.

        Args:
            task_loss: what the objective minimises.
            outputs: one a forward pass; the losses of several are added up, diagnostics averaged.
        """
        aux = {name: torch.stack([each.aux_losses[name] for each in outputs]).sum() for name in outputs[0].aux_losses}
        diagnostics = {
            name: torch.stack([each.diagnostics[name] for each in outputs]).mean() for name in outputs[0].diagnostics
        }
        if aux:
            self.report("train_aux", aux, batch_size=1)
        if diagnostics:
            self.report("train_encoder", diagnostics, batch_size=1)
        return torch.stack([task_loss, *aux.values()]).sum() if aux else task_loss

    def count_tokens(self, *batches: PackedBatch) -> None:
        """Add the tokens of a training step to `tokens_seen`; call once a step on every process."""
        tokens = torch.tensor(sum(len(b.tokens) for b in batches), device=self._tokens_seen.device)
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(tokens)
        self._tokens_seen += tokens

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put in what is needed to rebuild the model without its data."""
        checkpoint["zoo"] = {
            "format": 1,
            "class_name": type(self).__name__,
            "model": self.resolved_config,
            "tokenizer": self.tokenizer.to_str(),
            "max_length": self.max_length,
            "run": self.run_facts,
            "token_counts": self.token_counts,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another objective or another vocabulary, which would fail less clearly later."""
        header = checkpoint.get("zoo", {})
        self.token_counts = header.get("token_counts")
        self.adapted_from = header.get("run", {}).get("adapted_from")
        if header.get("class_name") != type(self).__name__:
            found = header.get("class_name") or "no objective of this project"
            raise ValueError(
                f"the checkpoint holds {found}, the config asks for {type(self).__name__}: name one of them"
            )
        if self.is_built and header["tokenizer"] != self.tokenizer.to_str():
            raise ValueError(
                "the checkpoint was trained with another tokenizer than the data module has: "
                "train on the same data, or point data.tokenizer at the run folder with PretrainedTokenizer"
            )
