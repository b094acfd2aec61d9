"""Value embeddings: which blocks have them, whose values they join, how they start. (The laws are held in `tests/laws`.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from pydantic import ValidationError

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.runs.metrics import read_metrics
from tests.conftest import tiny_dict
from tests.laws.combinations import random_tokens

MakeConfig = Callable[..., RunConfig]
GQA = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16}
DELTANET = {"name": "deltanet", "n_heads": 4, "head_dim": 16}


def _blocks(config: RunConfig) -> list[int]:
    described = config.model.config.describe()
    return [number for number, block in enumerate(described.blocks) if block.value_embedding is not None]


@pytest.mark.parametrize(
    ("n_layers", "every", "expected"),
    [(4, 2, [1, 3]), (5, 2, [0, 2, 4]), (3, 1, [0, 1, 2]), (5, 4, [0, 4]), (2, 9, [1])],
)
def test_every_so_many_blocks_and_the_last(
    tiny_config: MakeConfig, n_layers: int, every: int, expected: list[int]
) -> None:
    assert _blocks(tiny_config(model__n_layers=n_layers, model__value_embeddings={"every": every})) == expected


def test_there_are_none_unless_they_are_asked_for(tiny_config: MakeConfig) -> None:
    assert _blocks(tiny_config()) == []


def test_tables_go_to_the_optimizer_of_embeddings(tiny_config: MakeConfig) -> None:
    model = build_model(tiny_config(model__value_embeddings={}).model)
    found = {p.name: (p.role, tuple(p.tensor.shape)) for p in named_parameters(model) if "value_embedding" in p.name}
    assert found == {
        "blocks.1.value_embedding.table.weight": ("embedding", (97, 32)),
        "blocks.1.value_embedding.gate.weight": ("gate", (2, 12)),
    }


@pytest.mark.parametrize(
    ("attention", "settings", "message"),
    [
        (DELTANET, {}, "attention deltanet of block 1 lets nothing join its values"),
        ({"name": "probe/recurrent"}, {}, "attention probe/recurrent of block 1 lets nothing join its values"),
        (
            {"name": "hybrid", "pattern": ["full", "linear"], "full": GQA, "linear": DELTANET},
            {},
            "attention hybrid of block 1 lets nothing join",
        ),
        (GQA, {"gate_channels": 65}, "value_embeddings.gate_channels 65 is more than dim 64"),
    ],
)
def test_refusals_say_which_block(
    tiny_config: MakeConfig, attention: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_config(model__attention=attention, model__value_embeddings=settings)


def test_a_hybrid_has_them_where_attention_is_softmax(tiny_config: MakeConfig) -> None:
    hybrid = {"name": "hybrid", "pattern": ["linear", "full"], "full": GQA, "linear": DELTANET}
    model = build_model(tiny_config(model__attention=hybrid, model__n_layers=4, model__value_embeddings={}).model)
    assert model(random_tokens(2, 9)).isfinite().all()


def test_gates_start_half_open_and_closed_ones_leave_the_model_without(tiny_config: MakeConfig) -> None:
    tokens = random_tokens(2, 9)
    model = build_model(tiny_config(model__value_embeddings={"gate_scale": 1e-9}).model).eval()
    weights = model.state_dict()
    gate = weights["blocks.1.value_embedding.gate.weight"]
    assert 0 <= gate.min() < gate.max() <= 0.02
    plain = build_model(tiny_config().model).eval()
    plain.load_state_dict({name: weight for name, weight in weights.items() if "value_embedding" not in name})
    open_model = build_model(tiny_config(model__value_embeddings={}).model).eval()
    open_model.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), plain(tokens))
        assert (open_model(tokens) - plain(tokens)).abs().max() > 1e-3


@pytest.mark.parametrize("kept", ["none", "block", "selective"])
def test_they_train_resume_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: str) -> None:
    config, runs = tmp_path / "valued.toml", ["--runs-dir", str(tmp_path)]
    table = tiny_dict(model__value_embeddings={}, checkpoint={"every": 3}, train__activation_checkpointing=kept)
    config.write_text(tomli_w.dumps(table))
    assert main(["train", str(config), "--run", "first", "--quiet", *runs]) == 0
    before = [record["train/loss"] for record in read_metrics(tmp_path / "first/metrics.jsonl")]
    assert main(["resume", "first", "--from", "step_00000003", "--quiet", *runs]) == 0
    assert [record["train/loss"] for record in read_metrics(tmp_path / "first/metrics.jsonl")] == before
    for kind, file in (("gguf", "first.gguf"), ("safetensors", "first.safetensors")):
        assert main(["export", "first", "--to", kind, "--output", str(tmp_path / file), "--check", *runs]) == 0
    capsys.readouterr()
    stock = ["--option", "architecture=llama", "--output", str(tmp_path / "stock.gguf")]
    assert main(["export", "first", "--to", "gguf", *stock, *runs]) == 2
    assert "blocks.1.value_embedding adds rows of a table" in capsys.readouterr().err
