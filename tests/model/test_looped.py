"""Looped models against decoders that have every layer by itself, and against loops that are left earlier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.loader import Batch
from nanochat_framework.model.build import build_model
from nanochat_framework.model.diagnostics import recording
from nanochat_framework.model.documents import Documents
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict
from tests.laws.combinations import random_tokens

Make = Callable[..., RunConfig]
LOOP: dict[str, Any] = {
    "model__name": "looped",
    "model__n_layers": 4,
    "model__n_iterations": 3,
    "model__n_layers_before": 1,
    "model__n_layers_after": 1,
}
ORDER = (0, 1, 2, 1, 2, 1, 2, 3)


def _pair(tiny_config: Make) -> tuple[RunConfig, LanguageModel, RunConfig, LanguageModel]:
    """A looped model, and the decoder that has its blocks as often as they are run."""
    looped, unrolled = tiny_config(**LOOP, quantizer=[]), tiny_config(model__n_layers=len(ORDER), quantizer=[])
    loop, decoder = build_model(looped.model), build_model(unrolled.model)
    weights = loop.state_dict()
    unshared = {}
    for name in decoder.state_dict():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(ORDER[int(parts[1])])
        unshared[name] = weights[".".join(parts)]
    decoder.load_state_dict(unshared)
    return looped, loop, unrolled, decoder


def test_it_is_the_unrolled_decoder(tiny_config: Make) -> None:
    """Logits are equal, and a shared weight's gradient is the sum of those of its copies."""
    looped, loop, unrolled, decoder = _pair(tiny_config)
    assert looped.model.config.order == ORDER
    tokens = random_tokens(2, 17)
    for model in (loop, decoder):
        logits = model(tokens[:, :-1])
        torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))
    torch.testing.assert_close(loop(tokens), decoder(tokens))
    copies = dict(decoder.named_parameters())
    for name, parameter in loop.named_parameters():
        *start, rest = name.split(".", 2)
        names = [name]
        if start[0] == "blocks":
            names = [f"blocks.{layer}.{rest}" for layer, index in enumerate(ORDER) if index == int(start[1])]
        total = torch.stack([_gradient(copies[each]) for each in names]).sum(dim=0)
        torch.testing.assert_close(_gradient(parameter), total, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    counts = [count_parameters(take_inventory(config)).total for config in (looped, unrolled)]
    assert counts == [sum(p.numel() for p in model.parameters()) for model in (loop, decoder)]
    assert counts[0] < counts[1]
    assert len(loop.new_states(1)) == len(ORDER)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@torch.no_grad()
def test_exits_are_those_of_shorter_loops(tiny_config: Make) -> None:
    """`exit_loss.i` is the loss of the same weights in a loop of i + 1 iterations; the change is that of its stream."""
    weights = build_model(tiny_config(**LOOP, quantizer=[]).model, seed=3).state_dict()
    tokens = random_tokens(3, 12)
    documents = Documents((torch.arange(12) >= torch.tensor([[4], [7], [20]])).long())
    for given in (None, documents):
        losses = []
        for n_iterations in (1, 2, 3):
            config = tiny_config(**{**LOOP, "model__n_iterations": n_iterations}, quantizer=[])
            model = build_model(config.model)
            model.load_state_dict(weights)
            with recording() as readings:
                hidden = model.hidden(tokens, documents=given)
            targets = tokens[:, 1:]
            if given is not None:
                targets = torch.where(given.starts[:, 1:], -100, targets)
            losses.append(functional.cross_entropy(model.logits(hidden)[:, :-1].flatten(0, 1), targets.flatten()))
        found = [readings[f"exit_loss.{iteration}"] for iteration in range(3)]
        torch.testing.assert_close(torch.stack([each[0] for each in found]), torch.stack(losses))
        assert all(len(each) == 1 for each in found)
        assert all(0 < float(readings[f"loop_change.{iteration}"][0]) < 2 for iteration in range(3))


@torch.no_grad()
def test_nothing_is_worked_out_unless_somebody_records(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(tiny_config(**LOOP).model)
    monkeypatch.setattr(type(model), "_exit_loss", lambda *_: pytest.fail("worked out"))
    model(random_tokens(1, 5))
    with recording(), pytest.raises(pytest.fail.Exception):
        model(random_tokens(1, 5))


def test_experts_of_an_exit_add_no_loss(tiny_config: Make) -> None:
    """Logging a step changes neither its losses nor its gradients, routers among the blocks or not."""
    results = []
    for log_every in (1, 2):
        config = tiny_config(
            **LOOP, model__ffn={"name": "moe", "n_experts": 4, "hidden_dim": 32}, train__log_every=log_every
        )
        module, tokens = TrainModule(config, torch.device("cpu")), random_tokens(2, 17)
        module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], 1)
        results.append(module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], 3))
    logged, plain = results
    assert {"exit_loss.0", "loop_change.2"} <= set(logged.readings) and not plain.readings
    assert (logged.losses, logged.grad_norm) == (plain.losses, plain.grad_norm)


def test_it_trains_resumes_and_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, runs = tmp_path / "looped.toml", ["--runs-dir", str(tmp_path)]
    config.write_text(tomli_w.dumps(tiny_dict(**LOOP, checkpoint={"every": 3})))
    assert main(["train", str(config), "--run", "first", "--quiet", *runs]) == 0
    names = ("train/loss", "model/exit_loss.0", "model/loop_change.2")
    before = [[record[name] for name in names] for record in read_metrics(tmp_path / "first/metrics.jsonl")]
    assert main(["resume", "first", "--from", "step_00000003", "--quiet", *runs]) == 0
    assert [[record[name] for name in names] for record in read_metrics(tmp_path / "first/metrics.jsonl")] == before
    for kind, file in (("gguf", "first.gguf"), ("safetensors", "first.safetensors")):
        assert main(["export", "first", "--to", kind, "--output", str(tmp_path / file), "--check", *runs]) == 0
    capsys.readouterr()
    for arguments in (
        ["--to", "gguf", "--option", "architecture=llama"],
        ["--to", "huggingface"],
    ):
        assert main(["export", "first", *arguments, "--output", str(tmp_path / "stock"), *runs]) == 2
        message = capsys.readouterr().err
        assert "blocks.1 is run 3 times (a looped model)" in message and "Traceback" not in message


def test_a_loop_needs_blocks(tiny_config: Make) -> None:
    with pytest.raises(ValidationError, match="no block is left to share: n_layers is 4, with 3 before and 1 after"):
        tiny_config(**{**LOOP, "model__n_layers_before": 3})
