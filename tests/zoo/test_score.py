from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from zoo.contracts import PackedBatch
from zoo.data.tokenizers import token_bytes
from zoo.encoders import DenseEncoder
from zoo.heads import SparseTargetHead
from zoo.objectives import CausalLM, MaskedLM
from zoo.objectives.language_model import LanguageModel as Objective
from zoo.score import ERRORS_AT, LanguageModel

LENGTH = 8
Texts = Callable[..., list[str]]


def build(kind: type[Objective], tokenizer: Tokenizer) -> Objective:
    torch.manual_seed(0)
    objective = kind(width=16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))  # type: ignore[call-arg]
    objective.build(tokenizer, LENGTH)
    return objective.eval()


@pytest.mark.parametrize("stream", [False, True])
def test_causal_scores_every_token_but_the_first(stream: bool, tokenizer: Tokenizer, texts: Texts) -> None:
    objective, given = build(CausalLM, tokenizer), texts(30)
    score = LanguageModel(objective, "m", device="cpu", batch_tokens=30).score(given, stream=stream)
    documents = [tokenizer.encode(text).ids for text in (["".join(given)] if stream else given)]
    nats, tokens, size = 0.0, 0, 0
    sizes = token_bytes(tokenizer)
    for ids in documents:
        start = 0
        while start + 1 < len(ids):
            window = ids[start : start + LENGTH]
            losses = objective.token_losses(PackedBatch.from_sequences([window]), 0)
            nats += float(losses.nll.double().sum())
            start += LENGTH - 1
        tokens += len(ids) - 1
        size += sum(int(sizes[i]) for i in ids[1:])
    assert score.kind == "causal"
    assert (score.tokens, score.bytes) == (tokens, size)
    assert score.nats == pytest.approx(nats, rel=1e-6)
    assert not score.calibrated


def test_tokens_are_ranked_among_all_others(tokenizer: Tokenizer, texts: Texts) -> None:
    objective, given = build(CausalLM, tokenizer), texts(12)
    ranks, sums = [], LanguageModel(objective, "m", device="cpu", batch_tokens=30).score(given, stream=False)
    for ids in (encoding.ids for encoding in tokenizer.encode_batch(given)):
        for start in range(0, len(ids) - 1, LENGTH - 1):
            window = ids[start : start + LENGTH]
            batch = PackedBatch.from_sequences([window])
            with torch.no_grad():
                output, positions, targets = objective.predict_tokens(batch, None)
            scores = objective.head.topk(output.hidden[positions], tokenizer.get_vocab_size())[1]
            ranks.append(1 + (scores == targets[:, None]).long().argmax(1).double())
    every = torch.cat(ranks)
    assert sums.tokens == len(every)
    for k in ERRORS_AT:
        assert sums.window_ranking[f"error_at_{k}"].tolist() == [float((part > k).sum()) for part in ranks]
    found = sums.window_ranking["mean_reciprocal_rank"].sum() / sums.tokens
    assert found == pytest.approx(float((1 / every).mean()))
    assert sums.window_ranking.keys() == {"error_at_1", "error_at_5", "error_at_20", "mean_reciprocal_rank"}


def test_a_ranking_loss_is_scored_with_the_sharpness_that_it_was_given(tokenizer: Tokenizer, texts: Texts) -> None:
    torch.manual_seed(0)
    objective = CausalLM(width=16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2), head=SparseTargetHead)
    objective.build(tokenizer, LENGTH)
    model, given = LanguageModel(objective, "m", device="cpu"), texts(12)
    with pytest.raises(ValueError, match="never calibrated: run a validation"):
        model.score(given, stream=False)
    objective.head.calibrate(torch.randn(40, 16), torch.randint(60, (40,)))
    before = objective.head.get_buffer("sharpness").clone()
    first = model.score(given, stream=False)
    assert first.calibrated
    assert torch.equal(objective.head.get_buffer("sharpness"), before)
    objective.head.get_buffer("sharpness").mul_(2)
    other = model.score(given, stream=False)
    assert other.nats != first.nats
    assert all(np.array_equal(other.window_ranking[name], first.window_ranking[name]) for name in first.window_ranking)


@pytest.mark.parametrize("kind", [CausalLM, MaskedLM])
def test_batches_do_not_matter(kind: type[Objective], tokenizer: Tokenizer, texts: Texts) -> None:
    objective, given = build(kind, tokenizer), texts(30)
    scores = [LanguageModel(objective, "m", "cpu", batch_tokens=n).score(given, stream=False) for n in (1, 50, 10**6)]
    for score in scores[1:]:
        assert np.array_equal(score.window_tokens, scores[0].window_tokens)
        assert np.array_equal(score.window_bytes, scores[0].window_bytes)
        np.testing.assert_allclose(score.window_nats, scores[0].window_nats, rtol=1e-5)
        for name, sums in score.window_ranking.items():
            np.testing.assert_array_equal(sums, scores[0].window_ranking[name])


def test_masked_scores_are_the_same_each_time(tokenizer: Tokenizer, texts: Texts) -> None:
    model = LanguageModel(build(MaskedLM, tokenizer), "m", device="cpu")
    score, again = model.score(texts(30), stream=False), model.score(texts(30), stream=False)
    assert (score.nats, score.tokens, score.bytes) == (again.nats, again.tokens, again.bytes)
    assert score.kind == "masked"
    assert 0 < score.tokens < sum(len(tokenizer.encode(text).ids) for text in texts(30))


@pytest.mark.parametrize("kind", [CausalLM, MaskedLM])
def test_nothing_to_score(kind: type[Objective], tokenizer: Tokenizer) -> None:
    model = LanguageModel(build(kind, tokenizer), "m", device="cpu")
    for given in ([], ["", ""]):
        with pytest.raises(ValueError, match="no token that could be scored"):
            model.score(given, stream=False)
