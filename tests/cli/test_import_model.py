"""`nanochat import`: other programs' files become checkpoints that evaluate, generate, export and train."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_framework.cli import main
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.inference.comparison import compare
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.checkpoint_manifest import problems, recorded_step
from tests.exporters.gguf_files import rewrite, without_our_keys
from tests.exporters.models import TERNARY, VOCAB_SIZE, build, float_twin, model_table, small_tokenizer
from tests.laws.combinations import random_tokens
from tests.laws.llama_cpp import Llama

TUNING = """\
extends = "taken/model.toml"

[[optimizer]]
match = "*"
name = "adamw"
lr = 1e-12

[schedule]
name = "constant"

[data]
source = { name = "synthetic" }
seq_len = 16

[train]
steps = 1
batch_size = 2

[eval]
every = 0

[hardware]
device = "cpu"
threads = 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and no plugins of strangers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")


def foreign_file(registry: Registry, architecture: str, *, tokenizer: bool = True, **options: Any) -> ModelBundle:
    """`foreign.gguf`, as another program would have written it, and the model in it."""
    attention = {**model_table()["attention"], "qk_norm": architecture == "qwen3"}
    _, bundle = build(registry, [], attention=attention, tie_embeddings=architecture == "qwen3")
    bundle = replace(bundle, tokenizer=small_tokenizer() if tokenizer else None)
    GgufExporter(GgufConfig(**options)).export(bundle, Path("ours.gguf"))
    rewrite(Path("ours.gguf"), Path("foreign.gguf"), without_our_keys)
    return bundle


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_a_file_becomes_a_checkpoint_and_goes_out_again(
    registry: Registry, capsys: pytest.CaptureFixture[str], architecture: str
) -> None:
    bundle = foreign_file(registry, architecture)
    assert main(["import", "foreign.gguf", "--output", "taken"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("taken\n  ") and "up to 256 tokens" in text and "tokenizer of 600 tokens" in text
    again = bundle_from("taken", registry)
    assert again.tokenizer is not None and bundle.tokenizer is not None
    assert again.tokenizer.fingerprint == bundle.tokenizer.fingerprint
    assert compare(bundle, again).exact
    assert main(["generate", "taken", "--prompt", "def", "--max-tokens", "2", "--temperature", "0"]) == 0
    assert main(["export", "taken", "--to", "gguf", "--output", "again.gguf", "--check"]) == 0
    assert f"architecture {architecture}: stock llama.cpp runs this file" in capsys.readouterr().out
    assert compare(bundle, bundle_from("again.gguf", registry)).exact


@pytest.mark.parametrize(
    "options",
    [{"type": "q8_0"}, {"type": "bf16", "head_type": "q6_k"}, {"type": "f16", "embedding_type": "q4_0"}],
    ids=["q8_0", "bf16-q6_k", "f16-q4_0"],
)
def test_what_we_read_is_what_llama_cpp_reads(registry: Registry, options: dict[str, str]) -> None:
    """Rounded files of others: our logits after importing are llama.cpp's, but for its rounding of activations."""
    foreign_file(registry, "llama", **options)
    assert main(["import", "foreign.gguf", "--output", "taken"]) == 0
    # of each prefix the likeliest next token must have text, or the server answers without probabilities
    tokens = random_tokens(1, 8, VOCAB_SIZE, seed=2)[0].tolist()
    with torch.no_grad():
        logits = model_from_bundle(bundle_from("taken", registry))(torch.tensor([tokens]))[0]
    ours = torch.log_softmax(logits, dim=-1).numpy()
    theirs = Llama(Path("foreign.gguf")).log_probabilities(tokens, VOCAB_SIZE)
    assert abs(theirs - ours).max() / (ours.max() - ours.min()) < 0.02


def test_training_begins_with_the_weights(registry: Registry, tmp_path: Path) -> None:
    """A step with next to no learning rate leaves the weights as they were."""
    bundle = foreign_file(registry, "qwen3", tokenizer=False)
    assert main(["import", "foreign.gguf", "--output", "taken", "--max-seq-len", "32", "--json"]) == 0
    Path("tune.toml").write_text(TUNING)
    assert main(["train", "tune.toml", "--run", "tuned", "--quiet"]) == 0
    again = bundle_from("tuned", registry)
    assert again.description.max_seq_len == 32
    for name, tensor in bundle.tensors.items():
        trained = again.tensors[name]
        assert isinstance(tensor, torch.Tensor) and isinstance(trained, torch.Tensor)
        torch.testing.assert_close(trained, tensor, rtol=0, atol=1e-9)


def test_a_chat_template_outlives_further_training(registry: Registry) -> None:
    """Also a fork and its resumes: every later checkpoint remembers what the weights came with."""
    template = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
    bundle = foreign_file(registry, "llama")
    bundle = replace(bundle, metadata={**bundle.metadata, "chat_template": template})
    GgufExporter(GgufConfig()).export(bundle, Path("ours.gguf"))
    rewrite(Path("ours.gguf"), Path("foreign.gguf"), without_our_keys)
    assert main(["import", "foreign.gguf", "--output", "taken", "--max-seq-len", "32", "--json"]) == 0
    Path("tune.toml").write_text(TUNING)
    assert main(["train", "tune.toml", "--run", "tuned", "--quiet"]) == 0
    assert bundle_from("tuned", registry).metadata["chat_template"] == template
    assert main(["runs", "fork", "tuned", "--run", "branch", "--set", "train.steps=2", "--quiet"]) == 0
    again = bundle_from("branch", registry)
    assert (again.metadata["step"], again.metadata["chat_template"]) == (2, template)


@pytest.mark.parametrize(
    "name", ["my model", "é", ".hid", "LATEST", "superseded", "-x", 'a"b\nc', "step_00000007", "x" * 200]
)
def test_a_folder_may_have_any_name(registry: Registry, name: str) -> None:
    """Also one that no checkpoint of a run could have, or only one of another step; nothing else appears."""
    bundle = foreign_file(registry, "llama", tokenizer=False)
    before = {*os.listdir(), name}
    assert main(["import", "foreign.gguf", f"--output={name}"]) == 0
    assert {*os.listdir()} == before
    assert sorted(os.listdir(name)) == ["manifest.json", "meta.json", "model.safetensors", "model.toml"]
    assert problems(Path(name)) == [] and recorded_step(Path(name)) == 0
    assert tomllib.loads((Path(name) / "model.toml").read_text("utf-8"))["train"]["init_from"] == os.path.abspath(name)
    assert compare(bundle, bundle_from(Path(name).absolute(), registry)).exact


def test_codes_become_the_numbers_they_stand_for(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    _, bundle = build(registry, TERNARY)
    GgufExporter(GgufConfig()).export(bundle, Path("ternary.gguf"))
    assert main(["import", "ternary.gguf", "--output", "taken", "--json"]) == 0
    written = capsys.readouterr()
    assert "14 of them stored as codes before" in str(json.loads(written.out)["lines"])
    assert "its quantizers are not kept" in written.err
    assert compare(float_twin(bundle), bundle_from("taken", registry)).exact


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.gguf", "--output", "taken"], "no model 'none.gguf'"),
        (["foreign.gguf", "--output", "foreign.gguf"], "exists already"),
        (["foreign.gguf", "--output", "no/where"], "--output no/where: the folder no does not exist"),
        (["foreign.gguf", "--output", "x" * 300], f"--output {'x' * 300}: cannot be written (file name too long)"),
        (["foreign.gguf", "--output", "x" * 250], f"--output {'x' * 250}: cannot be written (file name too long)"),
        (["foreign.gguf", "--output", "\udcff"], "--output '\\udcff': model.toml cannot name it; use a name in UTF-8"),
        (["foreign.gguf", "--output", "link"], "--output link: exists already"),
        (["foreign.gguf", "--output", "taken", "--max-seq-len", "257"], "--max-seq-len 257: the model's own is 256"),
        (["foreign.gguf", "--output", "taken", "--option", "a=1"], "--option a: Extra inputs are not permitted"),
        (["foreign.gguf"], "--output"),
    ],
)
def test_refusals(registry: Registry, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    foreign_file(registry, "llama")
    Path("link").symlink_to("nowhere")
    before = sorted(os.listdir())
    capsys.readouterr()
    assert main(["import", *arguments]) == 2
    assert expected in capsys.readouterr().err and sorted(os.listdir()) == before


def test_a_folder_that_cannot_be_written(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is named that was asked for, not the one that would have become it."""
    foreign_file(registry, "llama", tokenizer=False)
    before = sorted(os.listdir())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".tmp-taken-1")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["import", "foreign.gguf", "--output", "taken"]) == 2
    assert capsys.readouterr().err == "error: --output taken: cannot be written (permission denied)\n"
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model.n_layers", "1", "only taken has a tensor blocks.1."),
        ("model.ffn.hidden_dim", "96", r"blocks.0.ffn.gate.weight is (96, 256), there (512, 256)"),
        ("train.init_from", "'nowhere'", "no model 'nowhere'"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    registry: Registry, capsys: pytest.CaptureFixture[str], key: str, value: str, expected: str
) -> None:
    foreign_file(registry, "qwen3", tokenizer=False)
    assert main(["import", "foreign.gguf", "--output", "taken"]) == 0
    Path("tune.toml").write_text(TUNING)
    capsys.readouterr()
    assert (
        main(
            [
                "train",
                "tune.toml",
                "--run",
                "x",
                "--quiet",
                "--set",
                "train.init_from='taken'",
                "--set",
                f"{key}={value}",
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert not Path("runs/x").exists()
