"""8-bit momentum: what is stored, that it follows slow changes, and how near the updates stay to those in full."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_optimizers.blockwise import load, store, zero_codes, zero_scales
from tests.optimizers.support import build, named, random_tensors, train, values

SHAPES = {"up": (96, 40), "down": (40, 96), "odd": (7, 31)}


@given(st.integers(1, 400), st.integers(0, 50), st.floats(-20, 20), st.integers(0, 9))
def test_values_read_back_within_one_code(n: int, seed: int, exponent: float, count: int) -> None:
    values = torch.randn(n, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    codes, scales = zero_codes(values), zero_scales(values)
    store(values.clone(), codes, scales, name="w", count=count)
    assert codes.dtype == torch.int8 and scales.shape == (-(-n // 128),)
    code = scales.repeat_interleave(128)[:n]
    assert ((load(codes, scales) - values).abs() <= code * 1.001).all()
    assert not load(torch.zeros_like(codes), torch.zeros_like(scales)).any()


def test_rounding_is_right_on_average_and_repeatable() -> None:
    values = torch.randn(128, generator=torch.Generator().manual_seed(0))
    codes, scales = zero_codes(values), zero_scales(values)
    total = torch.zeros(128, dtype=torch.float64)
    for count in range(2000):
        store(values.clone(), codes, scales, name="w", count=count)
        total += load(codes, scales)
    torch.testing.assert_close((total / 2000).float(), values, rtol=0, atol=2e-3)
    again, scale = zero_codes(values), zero_scales(values)
    store(values.clone(), again, scale, name="w", count=1999)
    assert torch.equal(again, codes)
    store(values.clone(), again, scale, name="v", count=1999)
    assert not torch.equal(again, codes)


def test_a_momentum_that_changes_slowly_is_followed() -> None:
    """Lion's momentum moves by 1 % of the gradient: less than half a code, which nearest rounding would lose for ever."""
    parameters = named({"w": torch.zeros(128)}, role="norm")
    optimizer, hyperparameters = build("lion_8bit", parameters, lr=0.0)
    gradient = torch.full((128,), 1e-3)
    gradient[0] = 1.0
    for _ in range(400):
        parameters[0].tensor.grad = gradient.clone()
        optimizer.step(hyperparameters)
    slots = optimizer.state()["w"]
    momentum = load(slots["momentum_codes"], slots["momentum_scales"])
    assert float(momentum[0]) == pytest.approx(1 - 0.99**400, rel=0.01)
    assert float(momentum[1:].mean()) == pytest.approx(1e-3 * (1 - 0.99**400), rel=0.5)


@pytest.mark.parametrize(("name", "settings"), [("lion", {}), ("muon", {"orthogonalize_in": "fp32"})])
def test_updates_stay_near_those_in_full(name: str, settings: dict[str, str]) -> None:
    """Cosine of what twelve steps changed, against the optimizer with its momentum in float32."""
    start = random_tensors(SHAPES, seed=0)
    changes = []
    for each in (name, f"{name}_8bit"):
        parameters = named(start)
        train(*build(each, parameters, lr=0.01, **settings), range(1, 13))
        changes.append(torch.cat([(values(parameters)[key] - start[key]).flatten() for key in SHAPES]))
    assert float(torch.cosine_similarity(*changes, dim=0)) > 0.98
    assert float(changes[1].norm() / changes[0].norm()) == pytest.approx(1, abs=0.02)
