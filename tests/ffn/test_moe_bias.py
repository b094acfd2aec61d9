"""Balancing experts by a bias: the rule, what it depends on, that it balances, and that nothing else moves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from safetensors.torch import load_file
from torch import Tensor

from nanochat_ffn.config import MoeConfig
from nanochat_ffn.moe import MixtureOfExperts, build_moe
from nanochat_framework.cli import main
from nanochat_framework.config.checks import warnings_about
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.model.describe import Place
from nanochat_framework.model.step_counts import counting
from nanochat_framework.planning.memory import plan_memory
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict
from tests.laws.combinations import random_tokens

PLACE = Place("blocks.0.ffn.", dim=32, n_layers=2, max_seq_len=16, layer=0)
FFN: dict[str, Any] = {
    "name": "moe",
    "n_experts": 5,
    "hidden_dim": 32,
    "balance_weight": 0.0,
    "bias_update_speed": 0.01,
}
MakeConfig = Callable[..., RunConfig]


def _moe(**settings: Any) -> MixtureOfExperts:
    torch.manual_seed(0)
    return build_moe(MoeConfig(**{"n_experts": 6, "hidden_dim": 24, **settings}), place=PLACE)


def _x() -> Tensor:
    return torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))


def _batch(tokens: Tensor) -> Batch:
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def _biases(module: TrainModule) -> dict[str, Tensor]:
    return {p.name: p.tensor.detach().clone() for p in module.parameters if p.role == "expert_bias"}


def test_the_rule() -> None:
    moe = _moe(bias_update_speed=0.25)
    assert moe.expert_bias is not None
    moe.move(torch.tensor([0.0, 4.0, 2.0, 2.0, 3.0, 1.0]))
    assert moe.expert_bias.tolist() == [0.25, -0.25, 0.0, 0.0, -0.25, 0.25]


def test_a_bias_chooses_and_does_not_weigh() -> None:
    """Where it changes no choice the result stays; an expert that it alone chooses has its own, small, gate."""
    plain, biased = _moe(), _moe(bias_update_speed=0.1)
    assert biased.expert_bias is not None
    with torch.no_grad():
        torch.testing.assert_close(biased(_x()), plain(_x()))
        biased.expert_bias.fill_(7.0)
        torch.testing.assert_close(biased(_x()), plain(_x()))
        biased.expert_bias[4] += 2.0
        rows = _x().flatten(0, 1)
        probabilities = torch.softmax(plain.router(rows), dim=-1)
        expected = torch.zeros_like(rows)
        for number, row in enumerate(rows):
            others = probabilities[number].clone()
            others[4] = -1
            pair = [4, int(others.argmax())]
            gates = probabilities[number][pair] / probabilities[number][pair].sum()
            expected[number] = sum(g * plain.experts[e](row) for g, e in zip(gates, pair, strict=True))
        torch.testing.assert_close(biased(_x()).flatten(0, 1), expected)


def test_counts_are_choices_and_only_while_they_are_asked_for() -> None:
    moe = _moe(bias_update_speed=0.1, n_active=3)
    moe(_x())
    with counting() as counts:
        moe(_x())
        moe(_x())
    [found] = counts.values()
    assert int(found.sum()) == 2 * 15 * 3


def test_it_balances() -> None:
    """The router stands still and prefers expert 0; in the end all have their share of the choices."""
    moe = _moe(bias_update_speed=0.005)
    x = torch.randn(1, 512, 32, generator=torch.Generator().manual_seed(1)) + 1.0
    with torch.no_grad():
        moe.router.weight[0] += 0.1
    shares = []
    for _ in range(150):
        with counting() as counts:
            moe(x)
        [found] = counts.values()
        shares.append(found / found.sum())
        moe.move(found.double())
    assert shares[0][0] > 0.35
    assert torch.stack(shares[-20:]).mean(dim=0).sub(1 / 6).abs().max() < 0.02


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("decoder", {"train__activation_checkpointing": "block"}),
        ("decoder", {"train__activation_checkpointing": "selective"}),
        ("looped", {"train__log_every": 1}),
    ],
    ids=["blocks-again", "parts-again", "exits-logged"],
)
def test_only_the_batch_decides(tiny_config: MakeConfig, changes: dict[str, Any], model: str) -> None:
    """Not in how many pieces it comes, nor what is computed twice."""
    tokens, found = random_tokens(8, 17), []
    for pieces, further in ((1, {"train__log_every": 7}), (4, changes)):
        config = tiny_config(model__name=model, model__ffn=FFN, quantizer=[], **further)
        module = TrainModule(config, torch.device("cpu"))
        module.step([_batch(tokens[:4])], 6)
        first = _biases(module)
        module.step([_batch(piece) for piece in tokens.chunk(pieces)], 8)
        found.append((first, _biases(module)))
    for one, other in zip(*found, strict=True):
        assert one.keys() == other.keys() == {"blocks.0.ffn.expert_bias", "blocks.1.ffn.expert_bias"}
        for name, bias in one.items():
            assert bias.any() and torch.equal(bias, other[name])


def test_a_skipped_step_and_an_evaluation_move_nothing(tiny_config: MakeConfig) -> None:
    module = TrainModule(tiny_config(model__ffn=FFN), torch.device("cpu"))
    module.model.eval()(random_tokens(2, 9))
    with torch.no_grad():
        module.model.final_norm.weight[0] = float("nan")  # type: ignore[union-attr, index]
    assert module.step([_batch(random_tokens(4, 17))], 1).skipped == "not_finite"
    assert not any(bias.any() for bias in _biases(module).values())


def test_no_optimizer_has_it(tiny_config: MakeConfig) -> None:
    """One for all takes the rest; tables that leave no other role out are enough; plans count no state for it."""
    config = tiny_config(model__ffn=FFN, optimizer=[{"match": "*", "name": "adamw", "lr": 0.1}], quantizer=[])
    module = TrainModule(config, torch.device("cpu"))
    assert not any("expert_bias" in parameter.name for parameter in module.optimizers.parameters)
    total = sum(parameter.tensor.numel() for parameter in module.parameters)
    assert plan_memory(config).state == 8 * (total - 2 * 5)
    rules = [{"match": role, "name": "lion", "lr": 0.1} for role in ("matrix", "embedding", "norm", "router")]
    TrainModule(tiny_config(model__ffn=FFN, optimizer=rules), torch.device("cpu"))
    rules.append({"match": "expert_bias", "name": "lion", "lr": 0.1})
    warnings = list(warnings_about(tiny_config(model__ffn=FFN, optimizer=rules)))
    assert warnings == ["optimizer.4: match = 'expert_bias' takes no parameter of this model"]


def _train(folder: Path, name: str, *further: str) -> dict[str, Tensor]:
    """Train with AdamW, under which small differences of rounding stay small; the final weights."""
    config = folder / f"{name}.toml"
    table = tiny_dict(
        model__ffn=FFN,
        quantizer=[],
        optimizer=[{"match": "*", "name": "adamw", "lr": 0.003}],
        checkpoint={"every": 3},
        train__gradient_accumulation=2,
    )
    config.write_text(tomli_w.dumps(table))
    command = ["train", str(config), "--run", name, "--quiet", "--runs-dir", str(folder)]
    if further:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        processes = [sys.executable, "-m", "nanochat_framework", *command, *further]
        subprocess.run(processes, check=True, env=environment, timeout=120)
    else:
        assert main(command) == 0
    return load_file(folder / name / "checkpoints/final/model.safetensors")


def test_two_processes_a_resume_and_an_export_keep_it(tmp_path: Path) -> None:
    alone, runs = _train(tmp_path, "alone"), ["--runs-dir", str(tmp_path)]
    names = [name for name in alone if name.endswith("expert_bias")]
    assert len(names) == 2 and all(alone[name].any() for name in names)
    together = _train(tmp_path, "two", "--nproc", "2")
    assert all(torch.equal(alone[name], together[name]) for name in names)
    assert main(["resume", "alone", "--from", "step_00000003", "--quiet", *runs]) == 0
    again = load_file(tmp_path / "alone/checkpoints/final/model.safetensors")
    assert all(torch.equal(alone[name], again[name]) for name in alone)
    file = tmp_path / "out.gguf"
    assert main(["export", "alone", "--to", "gguf", "--output", str(file), "--check", *runs]) == 0
