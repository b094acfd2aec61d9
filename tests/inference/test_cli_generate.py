"""`nanochat generate`, from the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.training.checkpoint_manifest import seal
from tests.inference.test_bundle import write_checkpoint

MakeConfig = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/first` in the working directory, with a final checkpoint of a context of 64."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    path = tmp_path / "runs" / "first"
    path.mkdir(parents=True)
    (path / "run.json").write_text("{}")
    write_checkpoint(path / "checkpoints", "final", tiny_config(model__vocab_size=608))
    return path


def generate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """stdout and stderr of a run that succeeds."""
    assert main(["generate", *arguments]) == 0
    written = capsys.readouterr()
    return written.out, written.err


def test_text_to_stdout_and_speed_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8")
    assert out.endswith("\n") and len(out) > 1
    assert "8 tokens, " in err and " tokens/s (prompt " in err and "ended by length" in err and err.count("\n") == 1
    assert generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8")[0] == out
    assert generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8", "--seed", "5")[0] != out


def test_a_file_gives_the_text_of_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "first", "--to", "gguf", "--output", "first.gguf"]) == 0
    capsys.readouterr()
    settings = ["--prompt", "import os", "--max-tokens", "30", "--temperature", "1.5", "--top-p", "0.9"]
    assert generate(capsys, "first.gguf", *settings)[0] == generate(capsys, "first", *settings)[0]


def test_json_samples_and_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("größer\r\n".encode()), newline=""))
    settings = ["--samples", "3", "--seed", "7", "--max-tokens", "100", "--temperature", "3", "--top-k", "0"]
    out, err = generate(capsys, "first", "--prompt", "-", "--json", *settings)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["seed"] for record in records] == [7, 8, 9] and err == ""
    assert {record["prompt"] for record in records} == {"größer\r\n"}
    assert {record["finish_reason"] for record in records} <= {"context", "stop"}
    assert len({tuple(record["tokens"]) for record in records}) == 3
    alone, _ = generate(capsys, "first", "--prompt", "größer\r\n", "--json", "--seed", "9", *settings[4:])
    assert json.loads(alone)["tokens"] == records[2]["tokens"]


def test_a_stop_string_ends_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--prompt", "x", "--max-tokens", "30", "--temperature", "0"]
    free, _ = generate(capsys, "first", *settings)
    stop = free[3:5]
    out, err = generate(capsys, "first", *settings, "--stop", "never said", "--stop", stop)
    assert out == free[: free.index(stop)] + "\n" and "ended by stop" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frist"], "no model 'frist'"),
        (["first", "--temperature", "-1"], "temperature must be"),
        (["first", "--top-k", "-1"], "top_k must be"),
        (["first", "--top-p", "2"], "top_p must be"),
        (["first", "--max-tokens", "0"], "max_tokens must be"),
        (["first", "--samples", "0"], "--samples must be"),
        (["first", "--threads", "-1"], "--threads must be"),
        (["first", "--stop", ""], "a stop string is empty"),
        (["first", "--prompt", "long " * 200], "the model reads at most 64"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    prompt = [] if "--prompt" in arguments else ["--prompt", "x"]
    assert main(["generate", *arguments, *prompt]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and expected in written.err


def test_a_model_without_tokenizer_says_so(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    (run / "checkpoints" / "final").rename(copied)
    (copied / "tokenizer.json").unlink()
    (copied / "manifest.json").unlink()
    seal(copied, None)
    assert main(["generate", "copied", "--prompt", "x"]) == 2
    assert "copied: has no tokenizer" in capsys.readouterr().err
