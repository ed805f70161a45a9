"""`zoo adapt`: another vocabulary table for a trained model, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from zoo import checkpoint
from zoo.cli.adapt import fit_arguments
from zoo.donor import read_donor
from zoo.embeddings import SubspaceEmbedding
from zoo.pretrained import read_pretrained
from zoo.weights import hash_of, read

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]

FEW = ("--trainer.max_steps", "2")
# weights stay as they were when training began
STILL = (*FEW, "--model.optimizer.lr", "0")
SHORT = ("--embedding", "SubspaceEmbedding", "--embedding.own_rows", "12")


@pytest.fixture(scope="session")
def trained(tiny_arguments: Arguments, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run of 20 steps with a tied table."""
    from zoo.cli.main import main

    run = str(tmp_path_factory.mktemp("runs") / "trained")
    steps = ["--trainer.max_steps", "20", "--model.embedding", "TiedEmbedding"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ZOO_RUN_DIR", raising=False)
        patch.setattr("sys.argv", ["zoo"])
        assert main(["fit", *tiny_arguments("MaskedLM"), *steps, "--run_dir", run]) == 0
        patch.delenv("ZOO_RUN_DIR", raising=False)
    return run


@pytest.fixture(scope="session")
def published(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small BERT, as transformers writes it."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "bert"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=72, max_position_embeddings=16, **sizes)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.fixture
def with_experts(tokenizer: Tokenizer, tmp_path: Path) -> str:
    """The folder of a small nomic-embed-text-v2-moe: two layers, the second of which has experts."""
    D, F, E = 16, 24, 4
    block = {"attn.Wqkv": (3 * D, D), "attn.out_proj": (D, D), "norm1": (D,), "norm2": (D,)}
    dense = {"mlp.fc1": (F, D), "mlp.fc2": (D, F)}
    shapes = {f"encoder.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in block.items()}
    shapes |= {f"encoder.layers.0.{name}.weight": shape for name, shape in dense.items()}
    shapes |= {"emb_ln.weight": (D,), "embeddings.word_embeddings.weight": (72, D)}
    shapes |= {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items() if "word" not in name}
    experts = {"router.layer.weight": (E, D), "experts.mlp.w1": (E * F, D), "experts.mlp.w2": (E * F, D)}
    shapes |= {f"encoder.layers.1.mlp.{name}": shape for name, shape in {**experts, "experts.bias": (D,)}.items()}
    config = {"n_embd": D, "n_inner": F, "num_experts": E, "n_head": 2, "n_layer": 2, "moe_top_k": 2}
    config |= {"moe_every_n_layers": 2, "rotary_emb_fraction": 1, "n_positions": 16, "type_vocab_size": 1}
    torch.manual_seed(0)
    folder = tmp_path / "nomic"
    folder.mkdir()
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    save_file({**tensors, "embeddings.token_type_embeddings.weight": torch.ones(1, D)}, folder / "model.safetensors")
    kind = {"model_type": "nomic_bert", "activation_function": "gelu"}
    (folder / "config.json").write_text(json.dumps({**kind, **config}))
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.fixture
def text(corpus_files: dict[str, str]) -> list[str]:
    return ["--data", "TextCorpus", "--data.source.path", corpus_files["text"], "--trainer.accelerator", "cpu"]


def facts(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "provenance.json").read_text())
    return found


def part(run: str, name: str) -> dict[str, torch.Tensor]:
    return {key: t for key, t in read(run)["state_dict"].items() if key.startswith(f"{name}.")}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(t, second[name]) for name, t in first.items())


def test_short_tables_go_on_where_the_full_one_was(trained: str, zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    assert zoo("adapt", trained, *SHORT, "--embedding.codes", "PQCodes", *STILL, "--run_dir", "run") == 0
    shown = capfd.readouterr().err
    assert f"zoo: from {trained}: encoder, head.bias, head.table\n" in shown
    assert "zoo: new: embedding\n" in shown
    assert equal(part("run", "encoder"), part(trained, "encoder"))
    found = checkpoint.load("run")
    rows = part(trained, "embedding")["embedding.table.matrix"]
    assert isinstance(found.embedding, SubspaceEmbedding)
    composed = found.embedding.table.weight().detach()
    own = found.embedding.table.places < 12
    assert torch.equal(composed[own], rows[own])
    assert float((composed - rows).norm() / rows.norm()) < 0.9, "the tail is near its centroids"
    assert torch.equal(part("run", "head")["head.table.matrix"], rows)
    record = facts("run")
    weights = hash_of(read(trained)["state_dict"])
    assert record["adapted_from"]["path"] == trained
    assert record["adapted_from"]["weights"] == weights
    assert record["adapted_from"]["new"] == ["embedding"]
    assert record["embedding"].keys() >= {"parameters", "bytes", "rank_bound", "codes"}
    assert record["embedding"]["codes"] == "PQCodes"


def test_nothing_of_the_donor_is_needed_later(trained: str, zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained, "donor")
    assert zoo("adapt", "donor", *SHORT, "--embedding.codes", "PQCodes", *FEW, "--run_dir", "run") == 0
    before = part("run", "embedding")
    shutil.rmtree("donor")
    assert equal(before, {f"embedding.{k}": t for k, t in checkpoint.load("run").embedding.state_dict().items()})
    assert zoo("validate", "--run_dir", "run") == 0
    capfd.readouterr()
    assert zoo("fit", "--run_dir", "run", "--ckpt_path", "last", "--trainer.max_steps", "4") == 0
    assert facts("run")["steps"] == 4
    assert facts("run")["adapted_from"]["path"] == "donor"
    assert "zoo: from" not in capfd.readouterr().err
    after = part("run/checkpoints/last.ckpt", "embedding")
    assert torch.equal(after["embedding.table.codes"], before["embedding.table.codes"])


def test_codes_stay_where_they_are_not_changed(trained: str, zoo: Zoo) -> None:
    short = (*SHORT, "--embedding.codes", "SequentialCodes", "--embedding.codes.order", "random")
    assert zoo("adapt", trained, *short, *FEW, "--run_dir", "one") == 0
    assert zoo("adapt", "one", "--seed_everything", "5", *STILL, "--run_dir", "two") == 0
    assert equal(part("one", "embedding"), part("two", "embedding"))
    assert zoo("adapt", "one", "--embedding.codes.seed", "5", *STILL, "--run_dir", "three") == 0
    assert facts("three")["adapted_from"]["new"] == ["embedding"]
    assert not torch.equal(part("one", "embedding")["embedding.table.places"], places_of("three"))


def places_of(run: str) -> torch.Tensor:
    return part(run, "embedding")["embedding.table.places"]


def test_a_checkpoint_file_and_another_objective_and_data(
    trained: str, zoo: Zoo, corpus_files: dict[str, str], tmp_path: Path
) -> None:
    shutil.copy(Path(trained) / "checkpoints" / "last.ckpt", "alone.ckpt")
    pairs = ["--model", "Contrastive", "--data", "PairData", "--data.source.path", corpus_files["pairs"]]
    tokenizer = ["--data.tokenizer", "PretrainedTokenizer", "--data.tokenizer.name_or_path", trained]
    assert zoo("adapt", "alone.ckpt", *pairs, *tokenizer, "--embedding=FullEmbedding", *STILL, "--run_dir", "run") == 0
    assert torch.equal(
        part("run", "embedding")["embedding.weight"], part(trained, "embedding")["embedding.table.matrix"]
    )
    # of other texts the tokenizer stays that of the run
    lines = Path(corpus_files["text"]).read_text().splitlines()[:100]
    (tmp_path / "other.txt").write_text("\n".join(line.replace("ba", "unseen") for line in lines))
    other = ["--data", "TextCorpus", "--data.source.path", "other.txt"]
    assert zoo("adapt", trained, *other, *FEW, "--run_dir", "other") == 0
    assert read("other")["zoo"]["tokenizer"] == read(trained)["zoo"]["tokenizer"]


def test_a_hugging_face_encoder(published: str, zoo: Zoo, text: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    found = read_pretrained(published)
    assert zoo("adapt", published, *text, *STILL, "--run_dir", "plain") == 0
    assert "zoo: from " in capfd.readouterr().err
    assert torch.equal(part("plain", "embedding")["embedding.table.matrix"], found.rows)
    assert equal(part("plain", "encoder"), {f"encoder.{name}": t for name, t in found.encoder_state.items()})
    assert facts("plain")["adapted_from"]["weights"] == found.content_hash
    assert checkpoint.load("plain").max_length == 16
    for codes in ("PQCodes", "ClusterCodes"):
        assert zoo("adapt", published, *text, *SHORT, "--embedding.codes", codes, *STILL, "--run_dir", codes) == 0
        assert facts(codes)["adapted_from"]["taken"] == ["encoder"]
    own = places_of("PQCodes").argsort()[:12]
    assert torch.equal(part("PQCodes", "embedding")["embedding.table.own.matrix"], found.rows[own])


def test_a_hugging_face_encoder_with_experts(with_experts: str, zoo: Zoo, text: list[str]) -> None:
    found = read_pretrained(with_experts)
    assert zoo("adapt", with_experts, *text, *STILL, "--run_dir", "run") == 0
    assert torch.equal(part("run", "embedding")["embedding.table.matrix"], found.rows)
    encoder = part("run", "encoder")
    assert int(encoder.pop("encoder.pending").sum()) > 0, "it was trained: experts were counted"
    assert equal(encoder, {f"encoder.{n}": t for n, t in found.encoder_state.items() if n != "pending"})
    assert checkpoint.load("run").max_length == 16


def test_an_adapted_run_is_scored_and_compared(trained: str, zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    assert zoo("adapt", trained, *SHORT, *FEW, "--run_dir", "run") == 0
    tasks = ["--tasks", "PydocTextMasked", "--packages", "sklearn", "--quiet"]
    assert zoo("bench", "run", "--model", "run", trained, *tasks) == 0
    capfd.readouterr()
    assert zoo("compare", "run", "trained") == 2
    assert "model.init_args.init_from" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the trained model first"),
        (["--embedding", "SubspaceEmbedding"], "name the trained model first"),
        (["nowhere", *SHORT], "nowhere does not exist: give a run folder, a .ckpt file, or the folder"),
        (["TRAINED"], "nothing is to change in"),
        (["TRAINED", "--run_dir", "run"], "nothing is to change in"),
        (["PUBLISHED", *SHORT], "comes without texts to train on: add --data PydocCorpus"),
        (["TRAINED", "--embedding", "SubspaceEmbeding"], "did you mean SubspaceEmbedding?"),
        (["TRAINED", *SHORT, "--embedding.codes", "PQCode"], "did you mean PQCodes?"),
        (["TRAINED", *SHORT, "--embedding.codes", "no.such.Codes"], "No module named 'no'"),
        (["TRAINED", *SHORT, "--embedding.num_tables", "3"], "3 tables do not divide width 32"),
        (["TRAINED", *SHORT, "--model.width", "48"], "give model.encoder and model.width"),
        (["TRAINED", *SHORT, "--model.encoder.num_layers", "2"], "give model.encoder and model.width"),
        (["TRAINED", *SHORT, "--data.tokenizer.vocab_size", "30"], "was trained with another tokenizer"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    message: str,
    trained: str,
    published: str,
    zoo: Zoo,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"TRAINED": trained, "PUBLISHED": published}
    assert zoo("adapt", *(names.get(word, word) for word in arguments), *(FEW if len(arguments) > 3 else ())) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(Path().glob("runs/*"))


def test_encoders_of_other_kinds_are_refused(zoo: Zoo, text: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("gpt").mkdir()
    Path("gpt/config.json").write_text('{"model_type": "gpt2"}')
    assert zoo("adapt", "gpt", *text) == 1
    assert "only bert" in capsys.readouterr().err


def test_codes_need_a_full_table(trained: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("adapt", trained, *SHORT, *FEW, "--run_dir", "short") == 0
    assert zoo("adapt", "short", "--embedding.codes", "PQCodes", *FEW) == 1
    assert "these codes come from the vectors of a trained model with a full table" in capsys.readouterr().err


def test_a_run_from_python_is_refused(trained: str, zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    content = read(trained)
    content["zoo"]["run"] = {}
    torch.save(content, "python.ckpt")
    assert zoo("adapt", "python.ckpt", *SHORT) == 1
    assert "was saved from Python" in capsys.readouterr().err


def test_it_explains_itself(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("adapt", "--help") == 0
    shown = capsys.readouterr().out
    assert "zoo adapt CHECKPOINT" in shown
    assert "--embedding.codes PQCodes" in shown


@pytest.fixture
def sentence_encoder(published: str, tmp_path: Path) -> Callable[..., str]:
    """Writes the folder of a sentence encoder of at most 12 tokens, with these settings."""

    def write(**settings: Any) -> str:
        folder = tmp_path / "encoder"
        shutil.copytree(published, folder)
        (folder / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.Transformer"}]')
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
        return str(folder)

    return write


PAIRS = ("--data", "PairData", "--data.source.path", "pairs.jsonl")


@pytest.mark.parametrize(
    ("settings", "query", "document"),
    [
        ({}, "", ""),
        ({"prompts": {"query": "find: ", "passage": "text: "}}, "find: ", "text: "),
        ({"prompts": {"query": None, "STS": "alike: "}, "default_prompt_name": "STS"}, "", "alike: "),
    ],
    ids=["none", "of its own", "default"],
)
def test_a_sentence_encoder_keeps_its_prompts_and_its_length(
    settings: dict[str, Any],
    query: str,
    document: str,
    sentence_encoder: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    encoder = sentence_encoder(**settings)
    kept = [f"--model.prefixes.query_prefix={query}", f"--model.prefixes.document_prefix={document}"]
    found = fit_arguments([encoder, "--model", "Contrastive", *PAIRS], tmp_path)
    assert {*kept, "--data.max_length=12"} < set(found)
    named = f"names prompts {query!r} for queries and {document!r} for documents;" if settings else "names no prompts;"
    assert named in capsys.readouterr().err
    own = ["--model.prefixes", "{query_prefix: 'q: ', document_prefix: 'd: '}", "--data.max_length", "8"]
    found = fit_arguments([encoder, "--model", "Contrastive", *PAIRS, *own], tmp_path)
    assert not {*kept, "--data.max_length=12"} & set(found)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--model=Contrastive",),
        ("--model", "{class_path: zoo.objectives.Contrastive}"),
        ("--model.class_path", "Contrastive"),
        ("--config", "first.yaml", "--config", "second.yaml"),
    ],
)
def test_however_the_objective_is_written(
    words: tuple[str, ...], sentence_encoder: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text("model: {class_path: zoo.objectives.Contrastive}\n")
    Path("second.yaml").write_text("model: {init_args: {loss: InfoNCE}}\n")
    assert "--model.prefixes.query_prefix=" in fit_arguments([sentence_encoder(), *words, *PAIRS], tmp_path)


def test_only_contrastive_reads_prompts_and_only_of_sentence_encoders(
    published: str, sentence_encoder: Callable[..., str], tmp_path: Path
) -> None:
    masked = fit_arguments([sentence_encoder(), "--data", "PydocCorpus"], tmp_path)
    plain = fit_arguments([published, "--model", "Contrastive", *PAIRS], tmp_path)
    assert not any("prefix" in word for word in [*masked, *plain])


def test_what_follows_from_the_number_of_steps_is_settled_anew(trained: str, tmp_path: Path) -> None:
    import yaml

    words = fit_arguments([trained, *SHORT, "--embedding.codes=PQCodes"], tmp_path)
    assert words[3:] == [
        *("--model.embedding", "SubspaceEmbedding", "--model.embedding.own_rows", "12"),
        "--model.embedding.codes=PQCodes",
    ]
    config = yaml.safe_load(Path(words[2]).read_text())
    assert config["trainer"]["max_steps"] == 20
    assert config["model"]["init_args"]["init_from"] == trained
    assert not {"max_epochs", "val_check_interval", "check_val_every_n_epoch"} & config["trainer"].keys()
    assert not {"run_dir", "ckpt_path"} & config.keys()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--embedding.codes.order", "random"),
        ("--embedding.codes", "{class_path: SequentialCodes}"),
        ("--embedding.codes=zoo.embeddings.codes.ClusterCodes",),
        ("--config", "short.yaml"),
    ],
    ids=["default", "option", "inline", "path", "file"],
)
def test_tables_start_from_the_model_that_is_adapted_however_it_is_written(
    options: tuple[str, ...], trained: str, zoo: Zoo
) -> None:
    codes = "{class_path: SequentialCodes, init_args: {order: id}}"
    Path("short.yaml").write_text(f"model: {{init_args: {{embedding: {{init_args: {{codes: {codes}}}}}}}}}\n")
    assert zoo("adapt", trained, *SHORT, *options, *STILL, "--run_dir", "run") == 0
    found, rows = checkpoint.load("run"), read_donor(trained).full_table()
    assert isinstance(found.embedding, SubspaceEmbedding)
    assert rows is not None
    own = found.embedding.table.places < 12
    assert torch.equal(found.embedding.table.weight().detach()[own], rows[own])


def test_codes_of_a_new_run_need_a_model(tiny_arguments: Callable[[str], list[str]], zoo: Zoo, capsys: Any) -> None:
    short = ["--model.embedding", "SubspaceEmbedding", "--model.embedding.codes", "PQCodes", *FEW]
    assert zoo("fit", *tiny_arguments("MaskedLM"), *short, "--run_dir", "run") == 1
    assert "set model.embedding.codes.model, or start the run from such a model" in capsys.readouterr().err
