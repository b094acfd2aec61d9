"""The example plugins as strangers have them: wheels in a clean environment, a TOML file that names them, and their end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.clean_environment import CleanEnvironment, built_wheel
from tests.conftest import REPOSITORY

EXAMPLES = {"nanochat-lab-training": "lab", "nanochat-field-text": "field"}
SMALL = """
extends = "tiny-cpu"

[model]
dim = 64
n_layers = 2
vocab_size = 512
max_seq_len = 64
attention = { name = "field/aft", inner_dim = 64 }
ffn = { name = "swiglu", hidden_dim = 128 }

[[quantizer]]
match = "matrix"
name = "ternary"
group_size = 64

[[optimizer]]
match = "*"
name = "lab/adafactor"
lr = 0.05

[schedule]
warmup_steps = 5

[data]
seq_len = 64

[train]
steps = 40

[eval]
every = 0
"""


@pytest.fixture(scope="module")
def stranger(repository_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """An environment with both examples installed and a model trained with them, run `r`."""
    folder = tmp_path_factory.mktemp("stranger")
    environment = CleanEnvironment(folder / "clean", repository_wheel)
    for name in EXAMPLES:
        wheel = built_wheel(REPOSITORY / "examples" / name, folder / f"{name}.wheel")
        environment.run("pip", "install", str(wheel))  # with its requirements, which are all there
    (environment.work / "small.toml").write_text(SMALL)
    text = str(REPOSITORY / "nanochat_framework" / "config")
    environment.run("nanochat", "prepare-data", "--text", text, "--vocab-size", "512", "--output", "data")
    environment.run("nanochat", "train", "small.toml", "--run", "r", "--quiet")
    return environment


def test_it_learns_and_says_who_took_part(stranger: CleanEnvironment) -> None:
    run = stranger.work / "runs" / "r"
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [record["train/loss"] for record in losses if "train/loss" in record]
    assert losses[-1] < losses[0] - 0.5
    lock = {(row["kind"], row["name"]): row for row in json.loads((run / "components.lock.json").read_text())}
    assert lock["optimizer", "lab/adafactor"]["distribution"] == "nanochat-lab-training"
    assert lock["attention", "field/aft"]["version"] == "0.1.0"


def test_the_check_is_green(stranger: CleanEnvironment) -> None:
    rows = json.loads(stranger.run("nanochat", "plugins", "check", "--json", *EXAMPLES).stdout)
    assert {(row["plugin"], row["kind"], row["name"]) for row in rows} == {
        ("lab", "optimizer", "lab/adafactor"),
        ("lab", "exporter", "lab/npz"),
        ("field", "attention", "field/aft"),
        ("field", "evaluation", "field/brackets"),
    }
    assert all(row["ok"] and row["laws"] for row in rows)


def test_export_and_evaluation(stranger: CleanEnvironment) -> None:
    stranger.run("nanochat", "export", "r", "--to", "lab/npz", "--output", "r.npz")
    arrays = np.load(stranger.work / "r.npz")
    assert arrays["blocks.0.attention.key.weight.codes"].shape == (64, 64)
    assert set(np.unique(arrays["blocks.0.attention.key.weight.codes"])) <= {-1, 0, 1}
    scores = json.loads(stranger.run("nanochat", "eval", "r", "--tasks", "field/brackets", "--json").stdout)
    score = scores["field/brackets"]["eval/brackets_matched"]
    assert 0 <= score["value"] <= 100
    assert score["baselines"]["held-out text"] > 60 > score["baselines"]["shuffled"]
    said = stranger.run("nanochat", "export", "r", "--to", "gguf", "--output", "r.gguf").stdout
    assert "not by stock llama.cpp, because attention field/aft does not describe itself" in said
    stranger.run("nanochat", "generate", "r.gguf", "--prompt", "def", "--max-tokens", "4")


@pytest.mark.slow
def test_its_tests_pass_where_it_is_installed(stranger: CleanEnvironment) -> None:
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "-c",
        "/dev/null",
        "--rootdir",
        str(stranger.work),
    ]
    folders = [str(REPOSITORY / "examples" / name / "tests") for name in EXAMPLES]
    assert " passed" in stranger.run("pytest", *options, *folders).stdout


def test_its_own_recipe_is_valid(stranger: CleanEnvironment) -> None:
    for name in EXAMPLES:
        stranger.run("nanochat", "config", "check", str(REPOSITORY / "examples" / name / "tiny.toml"))


def test_without_it_every_message_names_what_is_missing(stranger: CleanEnvironment) -> None:
    stranger.run("pip", "uninstall", "--yes", "--quiet", *EXAMPLES)
    trained = stranger.run("nanochat", "train", "small.toml", code=4).stderr
    assert (
        "small.toml:9: model.attention.name: unknown attention 'field/aft': no plugin of 'field' is installed"
        in trained
    )
    assert (
        "small.toml:19: optimizer.0.name: unknown optimizer 'lab/adafactor': no plugin of 'lab' is installed" in trained
    )
    for command in (["resume", "r"], ["eval", "r"]):
        said = stranger.run("nanochat", *command, code=4).stderr
        assert "attention 'field/aft' came with nanochat-field-text 0.1.0; install that again" in said
    for command in (
        ["export", "r", "--to", "lab/npz", "--output", "x.npz"],
        ["eval", "r", "--tasks", "field/brackets"],
    ):
        said = stranger.run("nanochat", *command, code=4).stderr
        assert "no plugin of" in said and "Traceback" not in said
