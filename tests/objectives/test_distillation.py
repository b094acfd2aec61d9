"""Distillation against torch's kl_div in float64, and the teacher's place: read, asked, and nowhere stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import IGNORED_TARGET, Batch
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.train_module import TrainModule
from nanochat_objectives.distillation import Distillation, Teacher, divergence
from tests.conftest import tiny_dict
from tests.laws.combinations import changes, random_tokens


def _scores(seed: int, size: int, scale: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    teacher, student = torch.randn(2, 5, size, generator=generator, dtype=torch.float64) * scale
    return teacher, student.requires_grad_()


def _torchs(teacher: Tensor, student: Tensor, top_k: int) -> Tensor:
    """(rows,): by kl_div, over the tokens or over the likeliest and one that stands for the others."""
    p, q = teacher.softmax(dim=-1), student.softmax(dim=-1)
    if 0 < top_k < p.shape[-1]:
        order = teacher.argsort(dim=-1, descending=True)
        p, q = p.gather(-1, order), q.gather(-1, order)
        p, q = (torch.cat((x[:, :top_k], x[:, top_k:].sum(dim=-1, keepdim=True)), dim=-1) for x in (p, q))
    return functional.kl_div(q.log(), p, reduction="none").sum(dim=-1)


@given(seed=st.integers(0, 2**32), size=st.integers(2, 40), top_k=st.integers(0, 45), scale=st.floats(0.01, 5))
def test_divergence_is_torchs(seed: int, size: int, top_k: int, scale: float) -> None:
    teacher, student = _scores(seed, size, scale)
    found, expected = divergence(teacher, student, top_k), _torchs(teacher, student, top_k)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(value.sum(), student)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-10)
    whole = divergence(teacher, student, 0)
    assert (found <= whole + 1e-12).all() and (found >= -1e-12).all()
    torch.testing.assert_close(divergence(teacher, teacher, top_k), torch.zeros(5, dtype=torch.float64))


def _student(tiny_config: Callable[..., RunConfig], **settings: Any) -> tuple[TrainModule, Distillation]:
    objective = [{"name": "distillation", "teacher": "none", **settings}]
    config = tiny_config(**changes("gqa-swiglu-tied"), objective=objective, train__loss_chunk=7)
    module = TrainModule(config, torch.device("cpu"))
    objective = module.objectives["distillation"]
    assert isinstance(objective, Distillation)
    teacher = build_model(tiny_config(**changes("mha-relu2-untied")).model, seed=5).eval()
    objective.teacher = Teacher(teacher.requires_grad_(False))
    return module, objective


@pytest.mark.parametrize("n_micro_batches", [1, 4])
@pytest.mark.parametrize("top_k", [0, 8])
def test_a_step_learns_from_the_teacher(
    tiny_config: Callable[..., RunConfig], top_k: int, n_micro_batches: int
) -> None:
    """Losses and gradients are those of the whole logits; micro-batches equal one batch."""
    module, objective = _student(tiny_config, top_k=top_k, temperature=3.0, weight=0.7)
    assert objective.teacher is not None
    tokens = random_tokens(4, 17)
    targets = tokens[:, 1:].clone()
    targets[1, 5:] = IGNORED_TARGET
    tokens, valid = tokens[:, :-1].contiguous(), targets != IGNORED_TARGET
    logits, wanted = module.model(tokens)[valid], objective.teacher.model(tokens)[valid]
    plain = functional.cross_entropy(logits, targets[valid])
    term = 9 * _torchs(wanted.double() / 3, logits.double() / 3, top_k).mean()
    tensors = [p.tensor for p in module.parameters]
    expected = torch.autograd.grad(plain + 0.7 * term.float(), tensors)
    parts = zip(tokens.chunk(n_micro_batches), targets.chunk(n_micro_batches), strict=True)
    result = module.step([Batch(x, y) for x, y in parts], 1)
    assert result.losses == pytest.approx(
        {"loss": float(plain.detach()), "distillation": float(term.detach())}, rel=1e-5
    )
    scale = min(1.0, 1.0 / result.grad_norm)
    for parameter, gradient in zip(module.parameters, expected, strict=True):
        torch.testing.assert_close(parameter.tensor.grad, gradient * scale, rtol=1e-3, atol=1e-6, msg=parameter.name)


def test_the_teacher_is_read_and_left_out_of_the_run(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs-dir", str(tmp_path)]
    config = tmp_path / "run.toml"
    config.write_text(tomli_w.dumps(tiny_dict()))
    assert main(["train", str(config), "--run", "teacher", "--quiet", *runs]) == 0
    gguf = tmp_path / "teacher.gguf"
    assert main(["export", "teacher", "--to", "gguf", "--output", str(gguf), *runs]) == 0
    losses = {}
    for name, path in (("of_run", tmp_path / "teacher"), ("of_file", gguf)):
        objective = [{"name": "distillation", "teacher": str(path)}]
        student = tiny_dict(objective=objective, model__dim=32, quantizer=[], checkpoint={"every": 3})
        config.write_text(tomli_w.dumps(student))
        assert main(["train", str(config), "--run", name, "--quiet", *runs]) == 0
        losses[name] = [record["train/distillation"] for record in read_metrics(tmp_path / name / "metrics.jsonl")]
    assert losses["of_run"] == pytest.approx(losses["of_file"], rel=1e-4)
    checkpoint = tmp_path / "of_run/checkpoints/final"
    assert not (checkpoint / "objectives.safetensors").exists()
    names = load_file(checkpoint / "model.safetensors").keys()
    slots = load_file(checkpoint / "optimizer_state.safetensors").keys()
    assert {slot.rpartition("/")[0] for slot in slots} <= set(names)
    student_model = model_from_bundle(bundle_from(checkpoint, registry))
    assert sum(p.numel() for p in student_model.parameters()) == sum(
        t.numel() for t in load_file(checkpoint / "model.safetensors").values()
    )
    assert main(["resume", "of_run", "--from", "step_00000003", "--quiet", *runs]) == 0
    again = [record["train/distillation"] for record in read_metrics(tmp_path / "of_run/metrics.jsonl")]
    assert again == losses["of_run"]
    capsys.readouterr()
    config.write_text(tomli_w.dumps(tiny_dict(objective=objective, model__vocab_size=98)))
    assert main(["train", str(config), "--run", "other", "--quiet", *runs]) == 2
    message = capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert "has 97 tokens, the model 98; give the model the same vocab_size" in message and "Traceback" not in message

    objective = [{"name": "distillation", "teacher": str(tmp_path / "none")}]
    config.write_text(tomli_w.dumps(tiny_dict(objective=objective)))
    assert main(["train", str(config), "--run", "other", "--quiet", *runs]) == 2
    assert "[[objective]] distillation: teacher: no model" in capsys.readouterr().err


def test_the_teacher_stays_as_it_is(tiny_config: Callable[..., RunConfig]) -> None:
    module, objective = _student(tiny_config)
    assert objective.teacher is not None and not list(objective.parameters()) and not list(objective.children())
    before = {name: tensor.clone() for name, tensor in objective.teacher.model.state_dict().items()}
    tokens = random_tokens(2, 17)
    for step in (1, 2, 3):
        module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], step)
    assert not objective.teacher.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.teacher.model.state_dict().items())
