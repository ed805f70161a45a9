"""An encoder in the terms of an architecture of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from zoo.contracts import JsonDict, Vocabulary
from zoo.encoders import DenseEncoder


@dataclass(frozen=True)
class Trained:
    """What is exported.

    Args:
        encoder: the body.
        rows: the vector of each token, (V, D), however the embedding stores it.
        vocabulary: its special ids.
        max_length: longest text in tokens.
    """

    encoder: DenseEncoder
    rows: Tensor
    vocabulary: Vocabulary
    max_length: int

    @property
    def state(self) -> dict[str, Tensor]:
        """Weights of the encoder; where it has no bias there is one of zeros, which changes nothing."""
        held = self.encoder.state_dict()
        zeros = {
            n.removesuffix("weight") + "bias": t.new_zeros(len(t)) for n, t in held.items() if n.endswith("weight")
        }
        return {**zeros, **held}

    @property
    def sizes(self) -> JsonDict:
        """What all configurations of transformers call alike."""
        block = self.encoder.blocks[0]
        return {
            "vocab_size": self.rows.shape[0],
            "hidden_size": self.rows.shape[1],
            "num_hidden_layers": len(self.encoder.blocks),
            "num_attention_heads": block.attention.num_heads,
            "intermediate_size": block.feed_forward.down.in_features,
            "pad_token_id": self.vocabulary.pad_id,
            "bos_token_id": self.vocabulary.cls_id,
            "eos_token_id": self.vocabulary.sep_id,
        }

    @property
    def dropout(self) -> JsonDict:
        """Dropout as BERT and its descendants name it."""
        return {"hidden_dropout_prob": self.encoder.dropout.p, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True)
class Stock:
    """The same encoder elsewhere.

    Args:
        config: content of config.json.
        tensors: weights by their names there.
        note: what somebody who loads it should know.
    """

    config: JsonDict
    tensors: dict[str, Tensor]
    note: str = ""


def renamed(
    state: Mapping[str, Tensor], names: Mapping[str, str], ours: str = "", theirs: str = ""
) -> dict[str, Tensor]:
    """Weights and biases of the modules `names` (our name to theirs) below the prefixes `ours` and `theirs`."""
    return {
        f"{theirs}{new}.{kind}": state[f"{ours}{old}.{kind}"]
        for old, new in names.items()
        for kind in ("weight", "bias")
    }


def pooler(width: int, like: Tensor) -> dict[str, Tensor]:
    """The layer behind the first token that some architectures have and nobody here trained: zeros, not noise."""
    return {"pooler.dense.weight": like.new_zeros(width, width), "pooler.dense.bias": like.new_zeros(width)}
