"""The same shape in `transformers`: what the measurements compare with."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from bench.speed.text import Shape


def fast_tokenizer(tokenizer: Tokenizer, shape: Shape) -> Any:
    """`tokenizer` as a `transformers` tokenizer."""
    from transformers import PreTrainedTokenizerFast

    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=shape.max_length, **names)


def modernbert_config(tokenizer: Tokenizer, shape: Shape) -> Any:
    """ModernBERT: rotary positions, pre-norm, GeGLU, no biases; all layers see the whole text, as ours do."""
    from transformers import ModernBertConfig

    ids = {f"{name}_token_id": tokenizer.token_to_id(f"[{name.upper()}]") for name in ("pad", "cls", "sep")}
    return ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        intermediate_size=round(8 / 3 * shape.width / 16) * 16,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_length,
        global_attn_every_n_layers=1,
        bos_token_id=ids["cls_token_id"],
        eos_token_id=ids["sep_token_id"],
        **ids,
    )


def bert_config(tokenizer: Tokenizer, shape: Shape) -> Any:
    """BERT: absolute positions, post-norm, GELU, biases; no dropout, as ours has none."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        intermediate_size=4 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
    )
