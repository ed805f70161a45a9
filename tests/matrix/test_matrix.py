"""Every combination of variants through the command line: three steps each."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from zoo.cli.listing import scan_variants

# a vocabulary as small as this is no place for a factored table
pytestmark = pytest.mark.filterwarnings("ignore:V = 65 is below 3 D = 96:UserWarning")

VARIANTS = {axis: [v.name for v in variants] for axis, variants in scan_variants().items()}
Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]


# Encoders that read from left to right, under objectives that read both ways: what the error must say.
ONE_WAY = {
    name: f"{name} sees the left side only: use CausalLM as objective, or DenseEncoder"
    for name in ("LSTMEncoder", "NGramEncoder")
}


# Heads that need a table whose scores are products of vectors, or rows of their own: what the error must say.
UNSCORED = {
    ("ChainedSubspaceEmbedding", "AugmentedSoftmaxHead"): "use SubspaceEmbedding, or SoftmaxHead",
    ("ChainedSubspaceEmbedding", "SampledSoftmaxHead"): "use SubspaceEmbedding, or SoftmaxHead",
    ("ChainedSubspaceEmbedding", "AdaptiveSoftmaxHead"): "use FullEmbedding, or SubspaceEmbedding with tied: false",
    (
        "ChainedSubspaceEmbedding",
        "SparseTargetHead",
    ): "use FullEmbedding, TiedEmbedding without dim, or Subspace",
    ("TiedEmbedding", "AdaptiveSoftmaxHead"): "use FullEmbedding, or SubspaceEmbedding with tied: false",
}


# Heads of one target a row, which predict no bag of words; neither do those over chained digits.
ONE_TARGET = {"AdaptiveSoftmaxHead", "AugmentedSoftmaxHead", "MixtureSoftmaxHead", "SampledSoftmaxHead"}


def is_one_way(objective: str, encoder: str) -> bool:
    """Whether the encoder refuses the objective."""
    return objective != "CausalLM" and encoder in ONE_WAY


def combinations() -> list[tuple[str, str, str, str]]:
    """Objective, encoder, embedding, head; an objective without a head has `-` there. What is refused is left out.

    All tables meet all heads under `DenseEncoder`. Another encoder meets each of them once: it sees vectors alone.
    """
    found = []
    for objective, encoder in itertools.product(VARIANTS["objective"], VARIANTS["encoder"]):
        heads = ["-"] if objective == "Contrastive" else VARIANTS["head"]
        pairs = [pair for pair in itertools.product(VARIANTS["embedding"], heads) if pair not in UNSCORED]
        if objective == "BagOfWords":
            pairs = [(e, h) for e, h in pairs if e != "ChainedSubspaceEmbedding" and h not in ONE_TARGET]
        if encoder != "DenseEncoder":
            pairs = [(e, h) for e, h in pairs if e == "FullEmbedding" or h in ("-", "SoftmaxHead")]
        found += [(objective, encoder, *pair) for pair in pairs if not is_one_way(objective, encoder)]
    return found


def losses(run: Path, name: str = "train/loss") -> list[float]:
    (file,) = (run / "logs" / "csv").glob("*/metrics.csv")
    with file.open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row.get(name)]


def check_trains(zoo: Zoo, arguments: list[str]) -> None:
    steps = ["--trainer.max_steps", "3", "--trainer.log_every_n_steps", "1", "--trainer.logger.class_path", "CSVLogger"]
    steps += ["--trainer.logger.init_args.save_dir", "run/logs", "--trainer.logger.init_args.name", "csv"]
    assert zoo("fit", *arguments, *steps, "--run_dir", "run") == 0
    found = losses(Path("run"))
    assert len(found) == 3
    assert all(map(math.isfinite, found))
    assert json.loads(Path("run/provenance.json").read_text())["state"] == "finished"
    assert Path("run/checkpoints/best.ckpt").is_file()
    assert Path("run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize("chosen", combinations(), ids="-".join)
def test_trains(chosen: tuple[str, ...], zoo: Zoo, tiny_arguments: Arguments) -> None:
    objective, encoder, embedding, head = chosen
    options = ["--model.embedding", embedding, "--model.encoder", encoder]
    options += ["--model.head", head] if head != "-" else []
    check_trains(zoo, [*tiny_arguments(objective), *options])


@pytest.mark.parametrize("objective", VARIANTS["objective"])
@pytest.mark.parametrize("positions", VARIANTS["positions"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_blocks(objective: str, positions: str, norm: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = ["--model.encoder.norm", norm, "--model.encoder.positions", positions]
    check_trains(zoo, [*tiny_arguments(objective), *options])


@pytest.mark.parametrize(
    ("objective", "balance"), [*(("MaskedLM", b) for b in VARIANTS["balance"]), ("Contrastive", "RunningBalance")]
)
def test_mixtures_log_their_losses_and_loads(objective: str, balance: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = ["--model.encoder", "MoEEncoder", "--model.encoder.mixture.balance", balance]
    check_trains(zoo, [*tiny_arguments(objective), *options, "--model.encoder.mixture.z_weight", "0.01"])
    names = ["train_aux/router_z", "train_encoder/layer0/max_load", "train_encoder/layer0/entropy"]
    names += ["train_aux/balance"] if balance != "LossFreeBalance" else []
    for name in names:
        assert len(losses(Path("run"), name)) == 3, name
    assert not losses(Path("run"), "val_aux/balance")


@pytest.mark.parametrize("objective", VARIANTS["objective"])
@pytest.mark.parametrize("schedule", VARIANTS["schedule"])
def test_schedules(objective: str, schedule: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = ["--model.schedule", schedule]
    check_trains(zoo, [*tiny_arguments(objective), *options])


@pytest.mark.parametrize("pair", UNSCORED, ids="-".join)
def test_heads_that_cannot_score_with_a_table_are_refused(
    pair: tuple[str, str], zoo: Zoo, tiny_arguments: Arguments, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--model.embedding", pair[0], "--model.head", pair[1], "--trainer.max_steps", "1"]
    assert zoo("fit", *tiny_arguments("MaskedLM"), *options, "--run_dir", "run") == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert UNSCORED[pair] in error
    assert pair[1] in error


@pytest.mark.parametrize("encoder", ONE_WAY)
@pytest.mark.parametrize("objective", [o for o in VARIANTS["objective"] if o != "CausalLM"])
def test_one_way_encoders_are_refused(
    objective: str, encoder: str, zoo: Zoo, tiny_arguments: Arguments, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--model.encoder", encoder, "--trainer.max_steps", "3", "--run_dir", "run"]
    assert zoo("fit", *tiny_arguments(objective), *options) == 1
    assert ONE_WAY[encoder] in capfd.readouterr().err


def test_losses_are_told_apart_by_frequency(zoo: Zoo, tiny_arguments: Arguments) -> None:
    steps = ["--trainer.max_steps", "3", "--trainer.logger.class_path", "CSVLogger"]
    steps += ["--trainer.logger.init_args.save_dir", "run/logs", "--trainer.logger.init_args.name", "csv"]
    assert zoo("fit", *tiny_arguments("CausalLM"), *steps, "--run_dir", "run") == 0
    counts = torch.load("run/checkpoints/last.ckpt", weights_only=True)["zoo"]["token_counts"]
    assert 0 < int(((counts >= 50) & (counts < 1000)).sum()) < len(counts), "the data has two of the three classes"
    names = ("loss", "loss_rare", "loss_medium")
    whole, rare, medium = (losses(Path("run"), f"val/{name}")[-1] for name in names)
    assert min(rare, medium) < whole < max(rare, medium)
    assert not losses(Path("run"), "val/loss_frequent"), "nothing is said of a class without tokens"


# Optimizers that treat output tables apart, and what their error must say where no table is under a softmax.
REFUSED = {
    "CoupledAdamW": "has input tables only: set couple: input, or use AdamW",
    "CenteredAdamW": "finds no output table to centre: use AdamW",
}


def optimizer_combinations() -> list[tuple[str, ...]]:
    """Objective, encoder, embedding, head, optimizer; torch's AdamW is in every other test.

    All tables meet the optimizers that treat tables apart, under one encoder: to an optimizer encoders are matrices and
    vectors alike. An optimizer that does not meets each objective once.
    """
    chosen = [c for c in combinations() if c[1] == "DenseEncoder" and c[0] != "CausalLM"]
    once = [c for c in chosen if c[2] == "FullEmbedding" and c[3] in ("-", "SoftmaxHead")]
    return [(*c, optimizer) for optimizer in VARIANTS["optimizer"] for c in (chosen if optimizer in REFUSED else once)]


@pytest.mark.parametrize("chosen", optimizer_combinations(), ids="-".join)
def test_optimizers(
    chosen: tuple[str, ...], zoo: Zoo, tiny_arguments: Arguments, capfd: pytest.CaptureFixture[str]
) -> None:
    objective, encoder, embedding, head, optimizer = chosen
    options = ["--model.embedding", embedding, "--model.encoder", encoder]
    options += ["--model.head", head] if head != "-" else []
    options += ["--trainer.max_steps", "3", "--run_dir", "run", "--model.optimizer", optimizer]
    # the tables of chained digits promise no zero sum: coupling says so, and centring would change the model
    void = embedding == "ChainedSubspaceEmbedding" and head != "-"
    warned = void and optimizer == "CoupledAdamW"
    with pytest.warns(UserWarning, match="does not keep the mean") if warned else nullcontext():
        status = zoo("fit", *tiny_arguments(objective), *options)
    if void and optimizer == "CenteredAdamW":
        assert status == 1
        assert "is not indifferent to a shift of rows" in capfd.readouterr().err
        return
    if optimizer in REFUSED and head in ("-", "SparseTargetHead"):  # which steps its table itself
        assert status == 1
        looked_up = not (embedding == "TiedEmbedding" and head == "SparseTargetHead")
        refusal = REFUSED[optimizer] if looked_up else "table"
        assert refusal in capfd.readouterr().err
        if optimizer == "CoupledAdamW" and looked_up:
            assert zoo("fit", *tiny_arguments(objective), *options, "--model.optimizer.couple", "input") == 0
        return
    assert status == 0
    header = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert header["zoo"]["model"]["init_args"]["optimizer"]["class_path"].endswith(optimizer)
    counts = header["zoo"]["token_counts"]
    assert counts.sum() > 0
    state = header["optimizer_states"][0]["state"]
    shapes = {tuple(values["exp_avg_sq"].shape) for values in state.values()}
    if embedding == "ChainedSubspaceEmbedding":
        assert ((2, 16) in shapes) == (optimizer == "CoupledAdamW")
        return
    assert ((1, 32) in shapes) == (optimizer == "CoupledAdamW")
    # one row a token: the input table, and with most heads the output table, which coupling keeps no such moment of
    output = optimizer != "CoupledAdamW" and head != "AdaptiveSoftmaxHead"
    assert ((len(counts), 32) in shapes) == (output or embedding == "FullEmbedding")


@pytest.mark.parametrize("objective", VARIANTS["objective"])
def test_half_precision(objective: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = ["--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1.0"]
    options += ["--trainer.max_steps", "3", "--run_dir", "run"]
    assert zoo("fit", *tiny_arguments(objective), *options) == 0
    state = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert {t.dtype for name, t in state.items() if name != "_tokens_seen"} == {torch.float32}
    assert json.loads(Path("run/provenance.json").read_text())["precision"] == "bf16-mixed"


# Codes that are found anew before and after the cut.
RECLUSTERED: tuple[str, ...] = ("--model.embedding", "SubspaceEmbedding", "--model.embedding.tied", "true")
RECLUSTERED += ("--model.embedding.own_rows", "8")
RECLUSTERED += ("--model.embedding.codes", "ReclusterCodes", "--model.embedding.codes.at", "[0.3, 0.7]")

# A table that steps itself, on both sides.
FACTORED: tuple[str, ...] = ("--model.embedding", "TiedEmbedding", "--model.head", "SparseTargetHead")
FACTORED += ("--model.head.update", "coupled", "--model.head.lr", "0.01", "--trainer.gradient_clip_val", "1.0")
RESUMED = [*((o, ()) for o in VARIANTS["objective"]), ("MaskedLM", RECLUSTERED), ("CausalLM", FACTORED)]


@pytest.mark.parametrize(("objective", "more"), RESUMED)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    objective: str,
    more: tuple[str, ...],
    zoo: Zoo,
    tiny_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [*tiny_arguments(objective), *more, "--trainer.max_steps", "20", "--trainer.val_check_interval", "2"]
    options += ["--trainer.check_val_every_n_epoch", "null"]
    assert zoo("fit", *options, "--run_dir", "whole") == 0

    from zoo.objectives.objective import Objective

    encode = Objective.encode

    def cut(self: Objective, *arguments: object, **named: object) -> object:
        if self.training and self.trainer.global_step == 11:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return encode(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "encode", cut)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)  # Lightning would ignore Ctrl-C from here on
    assert zoo("fit", *options, "--run_dir", "cut") == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("zoo: interrupted: what was finished is kept")
    monkeypatch.setattr(Objective, "encode", encode)
    assert json.loads(Path("cut/provenance.json").read_text())["state"] == "interrupted"
    assert torch.load("cut/checkpoints/last.ckpt", weights_only=True)["global_step"] == 10
    assert zoo("fit", *options, "--run_dir", "cut", "--ckpt_path", "last") == 0

    whole, resumed = (torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True) for run in ("whole", "cut"))
    assert whole["global_step"] == resumed["global_step"] == 20
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    best = [json.loads(Path(run, "provenance.json").read_text())["best_validation_loss"] for run in ("whole", "cut")]
    assert best[0] == best[1]


@pytest.mark.parametrize("objective", VARIANTS["objective"])
def test_scores_a_trained_run(objective: str, zoo: Zoo, tiny_arguments: Arguments) -> None:
    assert zoo("fit", *tiny_arguments(objective), "--trainer.max_steps", "3", "--run_dir", "run") == 0
    for command in ("validate", "test", "predict"):
        assert zoo(command, "--run_dir", "run") == 0
    if objective == "MaskedLM":
        assert zoo("test", "--ckpt_path", "run/checkpoints/last.ckpt") == 0
    outputs = torch.load("run/predictions.pt", weights_only=False)
    assert len(outputs) > 0


def test_a_longer_run_goes_on_with_the_longer_schedule(zoo: Zoo, tiny_arguments: Arguments) -> None:
    options = [*tiny_arguments("MaskedLM"), "--run_dir", "run", "--trainer.log_every_n_steps", "1"]
    assert zoo("fit", *options, "--trainer.max_steps", "4") == 0
    assert zoo("fit", *options, "--trainer.max_steps", "8", "--ckpt_path", "last") == 0
    optimizer = torch.load("run/checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]
    before_last = (1 + math.cos(math.pi * 7.0 / 8)) / 2
    assert max(g["lr"] for g in optimizer["param_groups"]) < 1e-3 * before_last
    state = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert state["lr_schedulers"][0]["last_epoch"] == 8
