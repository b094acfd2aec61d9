"""Muon against torch's, against the published update in double precision, and what it must do by definition."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.errors import UsageError
from nanochat_optimizers import batching
from nanochat_optimizers.orthogonalize import iterations, orthogonalize_, product_dtype
from tests.optimizers.support import build, named, orthogonalized, random_tensors, train, values

SHAPES = {"square": (16, 16), "square_2": (16, 16), "wide": (8, 24), "tall": (24, 8), "stack": (3, 24, 8)}
NS5 = iterations("newton_schulz", 5)


def published(start: Tensor, name: str, n_steps: int, *, nesterov: bool, scale: float) -> Tensor:
    """The update of the reference implementation in float64, on one matrix; lr falls as 1 / step."""
    w, buffer = start.double(), torch.zeros_like(start, dtype=torch.float64)
    for t in range(1, n_steps + 1):
        g = random_tensors(SHAPES, seed=1000 + t)[name].double()
        buffer = 0.95 * buffer + 0.05 * g
        direction = 0.05 * g + 0.95 * buffer if nesterov else buffer
        matrices = direction.reshape(-1, *direction.shape[-2:])
        update = torch.stack([orthogonalized(m) for m in matrices]).reshape(w.shape)
        lr = 0.02 / t
        w = w * (1 - lr * 0.1) - lr * scale * update
    return w


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape_scale", ["none", "spectral", "rms"])
def test_the_published_update(nesterov: bool, shape_scale: str) -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    options: dict[str, Any] = {"nesterov": nesterov, "shape_scale": shape_scale, "orthogonalize_in": "fp32"}
    train(*build("muon", parameters, weight_decay=0.1, **options), range(1, 11), lr_falls=True)
    for name, weight in values(parameters).items():
        rows, columns = weight.shape[-2:]
        scales = {"none": 1.0, "spectral": max(1, rows / columns) ** 0.5, "rms": 0.2 * max(rows, columns) ** 0.5}
        expected = published(start[name], name, 10, nesterov=nesterov, scale=scales[shape_scale])
        torch.testing.assert_close(weight.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("shape_scale", "adjust_lr_fn", "nesterov"),
    [("spectral", "original", True), ("rms", "match_rms_adamw", True), ("spectral", "original", False)],
)
def test_the_same_as_torch(shape_scale: str, adjust_lr_fn: str, nesterov: bool) -> None:
    """torch iterates in bfloat16, as we then do; both round differently, so updates agree to bfloat16's accuracy."""
    matrices = {name: shape for name, shape in SHAPES.items() if len(shape) == 2}
    start = random_tensors(matrices, seed=0)
    parameters, theirs = named(start), named(start)
    options: dict[str, Any] = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1, "nesterov": nesterov, "ns_steps": 5}
    torch_muon: Any = torch.optim.Muon([p.tensor for p in theirs], **options, adjust_lr_fn=adjust_lr_fn)
    train(*build("muon", parameters, **options, shape_scale=shape_scale, orthogonalize_in="bf16"), range(1, 11))
    for step in range(1, 11):
        for parameter, gradient in zip(theirs, random_tensors(matrices, seed=1000 + step).values(), strict=True):
            parameter.tensor.grad = gradient
        torch_muon.step()
    for ours, other in zip(parameters, theirs, strict=True):
        moved, expected = ours.tensor - start[ours.name], other.tensor - start[ours.name]
        assert (moved - expected).norm() < 0.02 * expected.norm()


def test_every_singular_value_goes_through_the_polynomials() -> None:
    """U·Σ·Vᵀ becomes U·p(Σ / ‖Σ‖)·Vᵀ, for full and for deficient rank."""
    generator = torch.Generator().manual_seed(0)
    u, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator).double())
    v, _ = torch.linalg.qr(torch.randn(20, 12, generator=generator).double())
    singular = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.01, 1e-3, 0.0, 0.0]).double()
    for coefficients in ("newton_schulz", "polar_express"):
        quintics = iterations(coefficients, 6)
        expected = singular / singular.norm()
        for a, b, c in quintics:
            expected = a * expected + b * expected**3 + c * expected**5
        found = orthogonalize_((u * singular) @ v.T[None], quintics, torch.float64)[0]
        torch.testing.assert_close(found, (u * expected) @ v.T, rtol=0, atol=1e-10)


BANDS = {
    ("newton_schulz", torch.float32): (0.681, 1.203),
    ("newton_schulz", torch.bfloat16): (0.66, 1.23),
    ("polar_express", torch.float32): (0.845, 1.125),
    ("polar_express", torch.bfloat16): (0.83, 1.15),
}
"""Least and largest value of the composed polynomials on [0.01, 1], and a little more for bfloat16's rounding."""


@pytest.mark.parametrize(("coefficients", "dtype"), BANDS)
def test_singular_values_end_in_a_band_around_one(coefficients: str, dtype: torch.dtype) -> None:
    """For those that are at least a hundredth of the Frobenius norm, which five iterations reach."""
    low, high = BANDS[coefficients, dtype]
    generator = torch.Generator().manual_seed(1)
    for rows, columns in ((64, 64), (32, 96), (96, 32), (1, 40)):
        matrices = torch.randn(4, rows, columns, generator=generator)
        u, singular, vt = torch.linalg.svd(matrices, full_matrices=False)
        matrices = (u * singular.clamp_min(0.01 * singular.norm(dim=-1, keepdim=True) * 1.05)[:, None, :]) @ vt
        found = torch.linalg.svdvals(orthogonalize_(matrices, iterations(coefficients, 5), dtype).float())
        assert found.min() > low
        assert found.max() < high


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(1e-3, 1e3), st.integers(0, 2**31))
def test_the_size_of_the_gradient_and_transposing_do_not_matter(
    rows: int, columns: int, size: float, seed: int
) -> None:
    matrix = torch.randn(1, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = orthogonalize_(matrix.clone(), NS5, torch.float64)
    torch.testing.assert_close(orthogonalize_(matrix * size, NS5, torch.float64), found, rtol=0, atol=1e-9)
    torch.testing.assert_close(orthogonalize_(matrix.mT.clone(), NS5, torch.float64).mT, found, rtol=0, atol=1e-9)


def test_a_stack_is_its_matrices() -> None:
    stack = random_tensors({"experts": (3, 24, 8)}, seed=0)["experts"]
    together = named({"experts": stack})
    apart = named({f"expert_{i}": stack[i] for i in range(3)})
    gradient = random_tensors({"experts": (3, 24, 8)}, seed=1)["experts"]
    for parameters, gradients in ((together, [gradient]), (apart, list(gradient))):
        optimizer, hyperparameters = build("muon", parameters, orthogonalize_in="fp32")
        for parameter, part in zip(parameters, gradients, strict=True):
            parameter.tensor.grad = part
        optimizer.step(hyperparameters)
    found = torch.stack([p.tensor.detach() for p in apart])
    torch.testing.assert_close(together[0].tensor.detach(), found, rtol=0, atol=1e-6)


def test_a_limit_on_the_stack_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    start = random_tensors({f"weight_{i}": (16, 16) for i in range(5)}, seed=0)
    results = []
    for limit in (2**26, 600, 1):
        monkeypatch.setattr(batching, "MAX_TOGETHER", limit)
        parameters = named(start)
        train(*build("muon", parameters, orthogonalize_in="fp32"), range(1, 4))
        results.append(values(parameters))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(results[2], results[0], rtol=0, atol=1e-6)


def test_a_parameter_without_gradient_is_left_alone_though_its_shape_is_stacked() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    optimizer, hyperparameters = build("muon", parameters, weight_decay=0.5)
    parameters[0].tensor.grad = torch.ones(16, 16)
    optimizer.step(hyperparameters)
    assert not torch.equal(parameters[0].tensor, start["square"])
    assert torch.equal(parameters[1].tensor, start["square_2"])
    assert not optimizer.state()["square_2"]["momentum_buffer"].any()


def test_a_zero_gradient_moves_nothing() -> None:
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    optimizer, hyperparameters = build("muon", parameters)
    for parameter in parameters:
        parameter.tensor.grad = torch.zeros_like(parameter.tensor)
    optimizer.step(hyperparameters)
    torch.testing.assert_close(values(parameters), start, rtol=0, atol=0)


def test_momentum_arrives_with_the_step() -> None:
    """The momentum of this step, not the configured one: with 0 the update is the gradient's alone."""
    parameters = named({"weight": torch.zeros(8, 8)})
    optimizer, hyperparameters = build("muon", parameters, orthogonalize_in="fp32")
    for seed in (1, 2):
        gradient = random_tensors({"weight": (8, 8)}, seed)["weight"]
        parameters[0].tensor.grad = gradient
        before = parameters[0].tensor.detach().clone()
        optimizer.step({**hyperparameters, "momentum": 0.0})
    update = (before - parameters[0].tensor.detach()) / hyperparameters["lr"]
    torch.testing.assert_close(update, orthogonalized(gradient.double()).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (8,), (2, 3, 4, 5)])
def test_what_is_no_matrix_is_refused_by_name(shape: tuple[int, ...]) -> None:
    parameters = named({"blocks.0.norm.weight": torch.ones(shape)}, role="norm")
    with pytest.raises(UsageError, match=r"muon cannot update blocks\.0\.norm\.weight \(role 'norm'") as caught:
        build("muon", parameters)
    assert "\n" not in str(caught.value)


def test_polar_express_repeats_its_last_polynomial() -> None:
    ten = iterations("polar_express", 10)
    assert ten[7] == ten[8] == ten[9] == (1.875, -1.25, 0.375)
    assert iterations("polar_express", 3) == ten[:3]
    assert math.isclose(ten[0][0], 8.28721201814563 / 1.01)


def test_the_format_of_the_products() -> None:
    assert product_dtype("bf16", torch.device("cpu")) is torch.bfloat16
    assert product_dtype("fp32", torch.device("cuda")) is torch.float32
    assert product_dtype("auto", torch.device("cuda")) is torch.bfloat16
    assert product_dtype("auto", torch.device("mps")) is torch.float32
