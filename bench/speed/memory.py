"""Peak memory of a training step with a large vocabulary, against one that builds the scores."""

from __future__ import annotations

import json
import subprocess
import sys

import torch
from torch.nn import functional as F
from torch.optim import AdamW

from bench.speed.text import numbered_words
from zoo.contracts import PackedBatch
from zoo.objectives.masked_lm import MaskedLM
from zoo.peak_memory import peak_bytes

HEADS = ("chunks", "logits")


def measure(vocabulary: int = 50_000, tokens: int = 8192, width: int = 256) -> dict[str, int]:
    """Bytes that three training steps add to the peak of a fresh process, for each head.

    Both steps score the masked tokens only; they differ in nothing but the way from hidden vectors to the loss.

    Args:
        vocabulary: V.
        tokens: tokens a step, 30 % of them masked.
        width: D.
    """
    found = {}
    for head in HEADS:
        command = [sys.executable, "-m", "bench.speed.memory", head, str(vocabulary), str(tokens), str(width)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[head] = int(json.loads(done.stdout)["bytes"])
    return found


def _added_peak(head: str, vocabulary: int, tokens: int, width: int) -> int:
    before = peak_bytes()
    model = MaskedLM(width)
    model.build(numbered_words(vocabulary), 128)
    optimizer = AdamW(model.parameters(), lr=1e-4)
    batch = PackedBatch.from_sequences(list(torch.randint(5, vocabulary, (tokens // 128, 128))))
    for _ in range(3):
        output, positions, targets = model.predict_tokens(batch, None)
        hidden = output.hidden[positions]
        if head == "chunks":
            loss = model.head.loss(hidden, targets).loss
        else:
            loss = F.cross_entropy(F.linear(hidden, model.head.table.weight()), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return peak_bytes() - before


if __name__ == "__main__":
    chosen, *sizes = sys.argv[1:]
    sys.stdout.write(json.dumps({"bytes": _added_peak(chosen, *map(int, sizes))}))
