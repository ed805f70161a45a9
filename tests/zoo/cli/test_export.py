from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.encode import TextEncoder

Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]
STEPS = ["--trainer.max_steps", "2", "--trainer.logger", "false"]


@pytest.mark.parametrize("objective", ["MaskedLM", "Contrastive"])
def test_a_trained_run_loads_elsewhere(
    objective: str,
    zoo: Zoo,
    tiny_arguments: Arguments,
    texts: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--model.embedding", "SubspaceEmbedding"] if objective == "MaskedLM" else []
    assert zoo("fit", *tiny_arguments(objective), *options, *STEPS, "--run_dir", "run") == 0
    capsys.readouterr()
    assert zoo("export", "run", "--to", "sentence-transformers", "-o", "out") == 0
    assert capsys.readouterr().out == "out: modernbert for sentence-transformers\n"
    from sentence_transformers import SentenceTransformer

    encoder = TextEncoder.load("run", device="cpu")
    loaded = SentenceTransformer("out", device="cpu")
    for name, prompt in encoder.prompts.items():
        expected = encoder.encode(texts(20), prompt=prompt)
        assert np.abs(loaded.encode(texts(20), prompt_name=name) - expected).max() < 1e-5
    assert zoo("export", "run/checkpoints/best.ckpt", "--to", "transformers", "--out", "plain") == 0
    assert Path("plain/model.safetensors").read_bytes() == Path("out/model.safetensors").read_bytes()


@pytest.fixture
def causal_run(zoo: Zoo, tiny_arguments: Arguments) -> str:
    assert zoo("fit", *tiny_arguments("CausalLM"), *STEPS, "--run_dir", "causal") == 0
    return "causal"


def test_wrong_input(causal_run: str, zoo: Zoo, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("taken").mkdir()
    Path("taken/file").write_text("x")
    Path("broken.ckpt").write_text("x")
    to = ["--to", "sentence-transformers"]
    capsys.readouterr()
    for arguments, message in [
        ([causal_run, *to, "-o", "out"], "a CausalLM attends to what stands before a token only"),
        (["absent", *to, "-o", "out"], "absent does not exist: give a run folder or a .ckpt file"),
        ([causal_run, *to, "-o", "taken"], "taken is not empty: name another folder, or remove it first"),
        ([causal_run, *to, "-o", "broken.ckpt"], "broken.ckpt is no folder"),
        (["broken.ckpt", *to, "-o", "out"], "broken.ckpt is truncated or no checkpoint"),
        ([causal_run, *to, "-o", "taken/file/out"], "taken/file is a file, so there can be no taken/file/out"),
    ]:
        assert zoo("export", *arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("zoo: error: ")
        assert message in error
        assert error.count("\n") == 1
        assert not Path("out").exists()
    with pytest.raises(SystemExit) as stopped:
        zoo("export", causal_run, "--to", "onnx", "-o", "out")
    assert stopped.value.code == 2
    assert "invalid choice: 'onnx'" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    lines = [
        "import atexit, sys",
        "from zoo.cli.main import main",
        "atexit.register(lambda: print(sorted({'torch', 'transformers'} & sys.modules.keys())))",
        "main(['export', '--help'])",
    ]
    shown = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
