from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import torch
import yaml


def test_what_a_run_leaves_behind(zoo: Callable[..., int], tiny_arguments: Callable[[str], list[str]]) -> None:
    options = ["--trainer.max_steps", "20", "--run_dir", "run", "--seed_everything", "7"]
    assert zoo("fit", *tiny_arguments("MaskedLM"), *options) == 0
    facts = json.loads(Path("run/provenance.json").read_text())
    assert facts["state"] == "finished"
    assert facts["steps"] == 20
    assert facts["seed"] == 7
    assert facts["device"] == "cpu"
    assert facts["data"] == "TextCorpus"
    assert facts["data_description"]["splits"]["train"]["tokens"] > 0
    assert facts["tokens_seen"] > 20 * 50
    assert facts["best_validation_loss"] > 0
    assert facts["tokens_per_second"] > 0
    assert facts["command"].startswith("zoo fit --model MaskedLM")
    assert facts.keys() >= {"versions", "hardware", "commit", "dirty", "config_hash", "started", "seconds", "precision"}
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["model"]["init_args"]["width"] == 32
    assert config["seed_everything"] == 7
    header = torch.load("run/checkpoints/last.ckpt", weights_only=True)["zoo"]
    assert header["run"]["steps"] == 20
    assert header["model"] == config["model"]
    assert header["tokenizer"] == json.dumps(json.loads(header["tokenizer"]), ensure_ascii=False, separators=(",", ":"))
    assert Path("run/tokenizer.json").is_file()
    (log,) = Path("run/logs/csv").glob("*/metrics.csv")
    rows = list(csv.DictReader(log.read_text().splitlines()))
    for name in ("train/loss", "val/loss", "train/tokens_per_second", "train/learning_rate", "train/tokens_seen"):
        assert any(row[name] for row in rows), name
    assert list(Path("run/logs/tensorboard").rglob("events.out.tfevents.*"))


def test_the_configuration_of_a_run_trains_it_again(
    zoo: Callable[..., int], tiny_arguments: Callable[[str], list[str]]
) -> None:
    assert zoo("fit", *tiny_arguments("CausalLM"), "--trainer.max_steps", "2", "--run_dir", "one") == 0
    assert zoo("fit", "--config", "one/config.yaml", "--run_dir", "two") == 0
    one, two = (torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True) for run in ("one", "two"))
    assert all(torch.equal(t, two["state_dict"][name]) for name, t in one["state_dict"].items())
    hashes = [json.loads(Path(run, "provenance.json").read_text())["config_hash"] for run in ("one", "two")]
    assert hashes[0] == hashes[1]
