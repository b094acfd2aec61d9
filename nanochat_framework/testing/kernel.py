"""The laws of a kernel (`contracts.kernel`): it computes what the naive form of its operation computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from nanochat_framework.kernels.table import NAIVE, missing_capabilities
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import expect_close, normal

Inputs = tuple[Any, ...]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2.0**-6}
"""Of the largest magnitude: a last-place difference of a sum, in each dtype."""


def _activations(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    x = normal(*shape, seed=seed)
    x[0] *= 100
    return x.to(dtype)


def _rms_norm(dtype: torch.dtype, weighted: bool) -> list[Inputs]:
    weight = 1 + 0.1 * normal(33, seed=1) if weighted else None
    return [(x, weight, 1e-6) for x in (_activations(dtype, 3, 5, 33), torch.zeros(2, 33, dtype=dtype))]


def _fp8_linear(dtype: torch.dtype) -> Inputs:
    codes = normal(24, 32, seed=2).to(torch.float8_e4m3fn)
    scales = torch.full((24, 1), 0.25)
    rows = normal(3, 5, 32, seed=3).to(torch.float8_e4m3fn).float() * 0.5
    return rows.to(dtype), (codes.float() * scales).to(dtype), codes, scales


def _grouped_mm(dtype: torch.dtype, along_rows: bool) -> Inputs:
    ends = torch.tensor([16, 16, 48], dtype=torch.int32)  # a group of none in between
    if along_rows:
        return normal(48, 16, seed=10).to(dtype), normal(3, 16, 24, seed=11).to(dtype), ends
    return normal(32, 48, seed=12).to(dtype), normal(48, 24, seed=13).to(dtype), ends


def _gated_delta_rule(seq: int, stateful: bool) -> Inputs:
    query, key = (torch.nn.functional.normalize(normal(2, 3, seq, 8, seed=seed), dim=-1) for seed in (4, 5))
    value, decay = normal(2, 3, seq, 6, seed=6), -normal(2, 3, seq, seed=7).abs()
    beta = torch.sigmoid(normal(2, 3, seq, seed=8))
    return query, key, value, decay, beta, normal(2, 3, 8, 6, seed=9) if stateful else None


EXAMPLES: dict[str, Callable[[], list[Inputs]]] = {
    "rms_norm": lambda: [
        each for dtype in TOLERANCE for weighted in (True, False) for each in _rms_norm(dtype, weighted)
    ],
    "quantize_activations": lambda: [
        (x,) for dtype in TOLERANCE for x in (_activations(dtype, 3, 5, 33), torch.zeros(2, 33, dtype=dtype))
    ],
    "fp8_linear": lambda: [_fp8_linear(dtype) for dtype in TOLERANCE],
    "grouped_mm": lambda: [_grouped_mm(dtype, along_rows) for dtype in TOLERANCE for along_rows in (True, False)],
    "gated_delta_rule": lambda: [_gated_delta_rule(seq, s) for seq in (1, 37, 130) for s in (True, False)],
}
"""Inputs of each operation of the core."""
WITHOUT_GRADIENT = frozenset({"quantize_activations", "fp8_linear", "grouped_mm"})


def built(subject: Subject) -> tuple[Callable[..., Any], str]:
    """The kernel and the device it runs on. Raises SkipTest where this machine lacks what it requires."""
    needs = subject.component.traits["requires"]
    devices = [need.removeprefix("device:") for need in needs if need.startswith("device:")] or ["cpu"]
    missing = missing_capabilities(subject.component, devices[0])
    if missing or (devices[0] == "cuda" and not torch.cuda.is_available()):
        raise SkipTest(f"this machine lacks {', '.join(missing or devices)}")
    call: Callable[..., Any] = subject.build()
    return call, devices[0]


def the_operation_is_the_cores(subject: Subject) -> None:
    """Its name is `operation/implementation`, of an operation of the core; its priority is a whole number."""
    operation, _, implementation = subject.component.name.partition("/")
    traits = subject.component.traits
    assert operation in NAIVE, f"there is no operation {operation!r}; there are {', '.join(NAIVE)}"
    assert implementation and traits["operation"] == operation, (
        f"{subject.component.name} is no operation/implementation"
    )
    assert isinstance(traits["priority"], int), f"its priority is {traits['priority']!r}"
    assert callable(built(subject)[0]), "the factory returns nothing that can be called"


def equals_the_naive_operation(subject: Subject) -> None:
    """It gives what the naive form gives, to the accuracy of the dtype, and changes no input."""
    call, device = built(subject)
    operation = subject.component.traits["operation"]
    for inputs in EXAMPLES[operation]():
        given = [each.to(device) if isinstance(each, Tensor) else each for each in inputs]
        kept = [each.clone() if isinstance(each, Tensor) else each for each in given]
        with torch.no_grad():
            found, expected = _tensors(call(*given)), _tensors(NAIVE[operation](*kept))
        assert len(found) == len(expected), f"it returns {len(found)} tensors, not {len(expected)}"
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype, f"it returns {one.dtype}, not {other.dtype}"
            expect_close(one, other, _of(given), tolerance=TOLERANCE[other.dtype])
        for before, after in zip(kept, given, strict=True):
            assert not isinstance(before, Tensor) or torch.equal(before.float(), after.float()), "it changes its input"


def gradients_equal_the_naive_ones(subject: Subject) -> None:
    """Its backward pass gives the gradients of the naive form."""
    call, device = built(subject)
    operation = subject.component.traits["operation"]
    if operation in WITHOUT_GRADIENT:
        raise SkipTest("nothing is differentiated through this operation")
    for inputs in EXAMPLES[operation]():
        gradients = []
        for function in (call, NAIVE[operation]):
            given = [_trained(each, device) if isinstance(each, Tensor) else each for each in inputs]
            outputs = _tensors(function(*given))
            loss = torch.stack([(o.float() * normal(*o.shape, seed=70).to(device)).sum() for o in outputs]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            gradients.append([each.grad for each in given if isinstance(each, Tensor)])
        for number, (one, other) in enumerate(zip(*gradients, strict=True)):
            assert one is not None and other is not None, f"input {number} gets no gradient"
            tolerance = 4 * TOLERANCE[one.dtype]
            expect_close(one, other, f"the gradient of input {number}, {_of(list(inputs))}", tolerance=tolerance)


def _trained(tensor: Tensor, device: str) -> Tensor:
    moved = tensor.detach().to(device).clone()
    return moved.requires_grad_(moved.dtype in TOLERANCE)


def _tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def _of(inputs: list[Any]) -> str:
    return "for " + ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in inputs if isinstance(t, Tensor))


LAWS = tuple(map(law, (the_operation_is_the_cores, equals_the_naive_operation, gradients_equal_the_naive_ones)))
