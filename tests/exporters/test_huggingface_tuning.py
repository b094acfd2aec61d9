"""The whole way: a folder of transformers in, its text, its scores, training in ternary from its weights, and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_framework.cli import main
from nanochat_framework.inference.bundle import bundle_from
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.huggingface_models import our_logits, some_tokens, their_logits
from tests.exporters.models import corpus
from tests.exporters.test_huggingface_tokenizers import folder_of

pytest.importorskip("transformers", reason="transformers is the reference of these tests")

TUNE = """\
extends = "taken/model.toml"

[[quantizer]]
match = "matrix"
name = "ternary"
group_size = 32

[[optimizer]]
match = "*"
name = "adamw"
lr = 1e-3

[schedule]
name = "constant"

[data]
source = { name = "tokens", path = "data/tokens.bin" }
seq_len = 32

[train]
steps = 4
batch_size = 2

[eval]
every = 2
batches = 2

[hardware]
device = "cpu"
threads = 1
"""


@pytest.fixture
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Qwen3 folder `hf`, imported as `taken`, with data in its own tokens and `tune.toml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    folder_of(tmp_path / "hf", "qwen")
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(corpus()[number * 4000 : (number + 1) * 4000])
    prepare = ["prepare-data", "--text", "0.txt", "1.txt", "2.txt", "--tokenizer", "taken/tokenizer.json"]
    assert main(["import", "hf", "--output", "taken"]) == 0
    assert main([*prepare, "--output", "data", "--validation-fraction", "0.3"]) == 0
    (tmp_path / "tune.toml").write_text(TUNE)
    return tmp_path


def test_a_folder_is_imported_scored_tuned_and_exported(
    taken: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(p.name for p in (taken / "taken").iterdir()) == sorted(
        ["manifest.json", "meta.json", "model.safetensors", "model.toml", "tokenizer.json"]
    )
    original = bundle_from("hf", registry)
    tokens = some_tokens(original)
    torch.testing.assert_close(
        our_logits(bundle_from("taken", registry), tokens), their_logits(taken / "hf", tokens), rtol=1e-4, atol=1e-4
    )
    scores = [_scored(model, capsys) for model in ("hf", "taken")]
    assert scores[0] == scores[1]
    assert main(["train", "tune.toml", "--run", "tuned", "--quiet"]) == 0
    tuned = bundle_from("tuned", registry)
    assert sum(isinstance(tensor, QuantizedWeight) for tensor in tuned.tensors.values()) == 14
    assert tuned.tokenizer is not None and original.tokenizer is not None
    assert tuned.tokenizer.fingerprint == original.tokenizer.fingerprint
    assert tuned.metadata["held_out"]["eval/bits_per_byte"] == pytest.approx(_scored("tuned", capsys), rel=0.2)
    capsys.readouterr()
    assert main(["export", "tuned", "--to", "huggingface", "--output", "out", "--check", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "Qwen3ForCausalLM" in report["lines"][0] and report["check"]["exact"] and len(report["check"]["others"]) == 2
    assert f"{tuned.metadata['tokens']:,} tokens in 4 steps" in (taken / "out" / "README.md").read_text()


def _scored(model: str, capsys: pytest.CaptureFixture[str]) -> float:
    capsys.readouterr()
    assert main(["eval", model, "--tasks", "bpb", "--data", "data", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return float(result["bpb"]["eval/bits_per_byte"]["value"])


def test_training_begins_where_the_import_stands(taken: Path, registry: Registry) -> None:
    """Without a quantizer and with a learning rate of nothing, the weights are theirs."""
    changes = ["optimizer.0.lr=1e-12", "train.steps=1", "eval.every=0", "quantizer=[]"]
    assert main(["train", "tune.toml", "--run", "same", "--quiet", *[w for c in changes for w in ("--set", c)]]) == 0
    original, same = bundle_from("hf", registry), bundle_from("same", registry)
    for name, tensor in original.tensors.items():
        trained = same.tensors[name]
        assert isinstance(tensor, torch.Tensor) and isinstance(trained, torch.Tensor)
        torch.testing.assert_close(trained, tensor, rtol=0, atol=1e-6)


def test_what_shapes_do_not_tell_is_warned_of(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "tune.toml", "--run", "other", "--quiet", "--set", "train.steps=1", "--set", "eval.every=0"]
    assert main([*command, "--set", "model.attention.rope_theta=500.0"]) == 0
    assert "attention.rope_theta 10000.0 -> 500.0" in capsys.readouterr().err


def test_data_in_other_tokens_is_refused(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare-data", "--text", "0.txt", "--vocab-size", "300", "--output", "data"]) == 0
    capsys.readouterr()
    assert main(["train", "tune.toml", "--run", "wrong", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "has another tokenizer than the data" in error and error.count("\n") == 1
    assert not (taken / "runs" / "wrong").exists()
