"""Text drawn from a causal language model."""

from __future__ import annotations

import torch

from zoo.contracts import PackedBatch
from zoo.objectives.causal_lm import CausalLM
from zoo.objectives.objective import Objective


@torch.inference_mode()
def generate(
    objective: Objective,
    prompt: str = "",
    tokens: int = 50,
    *,
    temperature: float = 1.0,
    seed: int = 0,
) -> str:
    """`prompt` and what the model says after it, up to its end of text or `tokens` tokens.

    Each token is drawn by the head from all tokens of the vocabulary, `p^(1 / temperature)` normalised again; the model
    sees the last tokens that fit into the length that it was trained on.

    Args:
        objective: a trained `CausalLM`, in evaluation mode.
        prompt: how the text begins; nothing is the start of a text.
        tokens: most tokens that are drawn, at least 1.
        temperature: above 0; below 1 likely tokens become more likely.
        seed: of the draws.

    Raises:
        ValueError: if the model is no causal one, or a number is out of range.
    """
    if not isinstance(objective, CausalLM):
        raise ValueError(f"{type(objective).__name__} does not go from left to right: only CausalLM writes text")
    if tokens < 1 or temperature <= 0:
        raise ValueError(f"tokens={tokens} and temperature={temperature}: draw at least one, at a temperature above 0")
    vocabulary, device = objective.vocabulary, objective.device
    generator = torch.Generator(device).manual_seed(seed)
    ids: list[int] = objective.tokenizer.encode(prompt).ids[1:-1]
    room = objective.max_length - 1
    for _ in range(tokens):
        batch = PackedBatch.from_sequences([[vocabulary.cls_id, *ids[-room:]]]).to(device)
        hidden = objective.encode(batch, causal=True).hidden[-1:]
        drawn = int(objective.head.sample(hidden, temperature, generator))
        if drawn == vocabulary.sep_id:
            break
        ids.append(drawn)
    text: str = objective.tokenizer.decode(ids, skip_special_tokens=False)
    return text
