"""The running average of the weights: against torch's own, through checkpoints, and for every command that reads one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.planning.disk import disk
from nanochat_framework.planning.memory import plan_memory
from nanochat_framework.plugins import Registry
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict
from tests.laws.combinations import random_tokens

Make = Callable[..., RunConfig]
DECAY = 0.8
LEARNED = [{"match": "matrix", "name": "ternary", "group_size": 32, "scale": "learned"}]


def _batch(step: int) -> Batch:
    tokens = random_tokens(4, 17, seed=step)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def _module(config: RunConfig) -> TrainModule:
    return TrainModule(config, torch.device("cpu"))


def test_it_is_torchs_average(tiny_config: Make) -> None:
    """torch's own update with the share that leaves the start out; learned scales are averaged like all parameters."""
    module = _module(tiny_config(train__ema_decay=DECAY, quantizer=LEARNED))
    assert module.average is not None

    def update(averages: list[torch.Tensor], current: list[torch.Tensor], done: torch.Tensor | int) -> None:
        share = (1 - DECAY) / (1 - DECAY ** (int(done) + 1))
        get_ema_multi_avg_fn(1 - share)(averages, current, done)

    reference = AveragedModel(module.model, multi_avg_fn=update)
    seen: list[dict[str, torch.Tensor]] = []
    for step in range(1, 7):
        module.step([_batch(step)], step)
        reference.update_parameters(module.model)
        seen.append({p.name: p.tensor.detach().clone() for p in named_parameters(module.model)})
    expected = {p.name: p.tensor for p in named_parameters(reference.module)}
    assert set(module.average.tensors) == set(expected) == set(seen[0])
    assert any(name.endswith("weight_scales") for name in expected)
    shares = torch.tensor([DECAY ** (6 - i) for i in range(1, 7)], dtype=torch.float64)
    for name, average in module.average.tensors.items():
        assert average.dtype == torch.float32
        torch.testing.assert_close(average, expected[name].detach(), rtol=1e-6, atol=1e-7, msg=name)
        mean = torch.tensordot(shares / shares.sum(), torch.stack([each[name].double() for each in seen]), 1)
        torch.testing.assert_close(average.double(), mean, rtol=1e-5, atol=1e-6, msg=name)


def test_averaging_changes_nothing_else_and_skipped_steps_do_not_count(tiny_config: Make) -> None:
    plain, averaged = _module(tiny_config()), _module(tiny_config(train__ema_decay=DECAY))
    assert averaged.average is not None
    for step in range(1, 4):
        assert plain.step([_batch(step)], step).losses == averaged.step([_batch(step)], step).losses
    before = {name: tensor.clone() for name, tensor in averaged.average.tensors.items()}
    with torch.no_grad():
        averaged.parameters[0].tensor[0, 0] = torch.nan
    assert averaged.step([_batch(4)], 4).skipped == "not_finite"
    assert averaged.average.updates == 3
    for name, tensor in averaged.average.tensors.items():
        assert torch.equal(tensor, before[name])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "averaged.toml"
    data = tiny_dict(
        quantizer=[], optimizer=[{"match": "*", "name": "adamw", "lr": 0.003}], train__ema_decay=DECAY,
        checkpoint={"every": 3, "keep_last": 9},
    )  # fmt: skip
    path.write_text(tomli_w.dumps(data))
    return path


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", str(config), "--run", "whole", "--runs-dir", str(runs), "--quiet"]) == 0
    return runs / "whole"


def test_a_resumed_run_has_the_same_average_bit_for_bit(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "whole")
    assert main(["resume", "whole", "--from", "step_00000003", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    for name in ("ema.safetensors", "model.safetensors"):
        finals = [folder / "checkpoints" / "final" / name for folder in (run, tmp_path / "whole")]
        assert finals[0].read_bytes() == finals[1].read_bytes()
    meta = json.loads((tmp_path / "whole" / "checkpoints" / "final" / "meta.json").read_text())
    assert meta["module"]["averaged_updates"] == 6


def test_two_processes_have_the_average_of_one(config: Path, run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nanochat_framework", "train", str(config), "--run", "two", "--nproc", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--runs-dir", str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    two, one = (load_file(folder / "checkpoints/final/ema.safetensors") for folder in (tmp_path / "two", run))
    for name, tensor in two.items():
        torch.testing.assert_close(tensor, one[name], rtol=0, atol=2e-4, msg=name)


def test_weights_ema_takes_the_average(run: Path, registry: Registry) -> None:
    final = run / "checkpoints" / "final"
    trained, averaged = (bundle_from(final, registry, weights=weights) for weights in ("trained", "ema"))
    stored = load_file(final / "ema.safetensors")
    model = model_from_bundle(averaged)
    for parameter in named_parameters(model):
        assert torch.equal(parameter.tensor, stored[parameter.name])
    assert not torch.equal(averaged.tensors["embedding.weight"], trained.tensors["embedding.weight"])


def test_commands_take_it_and_refuse_what_has_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final, file = str(run / "checkpoints" / "final"), str(tmp_path / "m.safetensors")
    assert main(["export", final, "--to", "safetensors", "--output", file, "--weights", "ema"]) == 0
    exported, stored = load_file(file), load_file(Path(final) / "ema.safetensors")
    assert {name: tensor.tolist() for name, tensor in exported.items()} == {n: t.tolist() for n, t in stored.items()}
    shutil.copytree(run / "checkpoints" / "final", tmp_path / "bare")
    (tmp_path / "bare" / "ema.safetensors").unlink()
    manifest = next((tmp_path / "bare").glob("*anifest*"))
    listed = json.loads(manifest.read_text())
    del listed["files"]["ema.safetensors"]
    manifest.write_text(json.dumps(listed))
    for command in (
        ["eval"],
        ["generate", "--prompt", "a"],
        ["complete"],
        ["export", "--to", "gguf", "--output", file],
    ):
        for model, message in ((tmp_path / "bare", "has no averaged weights"), (Path(file), "a model file has no")):
            capsys.readouterr()
            assert main([command[0], str(model), *command[1:], "--weights", "ema"]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert error.count("\n") == 1


def test_plans_count_it(tiny_config: Make) -> None:
    plans = [plan_memory(tiny_config(train__ema_decay=decay)) for decay in (None, 0.99)]
    rows = [plan.row(4) for plan in plans]
    assert rows[1].total - rows[0].total == rows[1].average == rows[0].weights
    files = [disk(plan.config, plan).checkpoint_bytes for plan in plans]
    assert files[1] - files[0] == rows[0].weights
