"""The laws of a normalisation (`contracts.norm`)."""

from __future__ import annotations

import torch

from nanochat_framework.contracts.norm import Norm
from nanochat_framework.testing.parts import part_laws
from nanochat_framework.testing.subject import PLACE, Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import away_from_the_start, expect_close, expect_gradients, normal


def built(subject: Subject) -> Norm:
    """The norm, its gains away from where they start."""
    norm: Norm = subject.build(place=PLACE)
    return away_from_the_start(norm)


def keeps_shape_and_dtype(subject: Subject) -> None:
    """(..., dim) becomes (..., dim) of the same dtype, whatever the dimensions before."""
    norm = built(subject)
    for dtype in (torch.float32, torch.bfloat16):
        for shape in ((2, 5, PLACE.dim), (3, PLACE.dim), (2, 1, 4, PLACE.dim)):
            y = norm(normal(*shape).to(dtype))
            assert y.shape == shape, f"{shape} became {tuple(y.shape)}"
            assert y.dtype == dtype, f"{dtype} became {y.dtype}"


@torch.no_grad()
def statistics_are_float32(subject: Subject) -> None:
    """Narrow inputs are normalised in float32 and rounded once: bfloat16 gives what float32 gives of the same numbers."""
    norm = built(subject)
    x = (normal(4, 9, PLACE.dim) * 100).bfloat16()
    expect_close(norm(x), norm(x.float()), "bfloat16 against float32", tolerance=2.0**-7)


@torch.no_grad()
def positions_do_not_meet(subject: Subject) -> None:
    """Each position is normalised by itself: statistics run over channels only."""
    norm, x = built(subject), normal(2, 9, PLACE.dim)
    changed = x.clone()
    changed[:, 4] += 3 * normal(2, PLACE.dim, seed=1)
    others = [position for position in range(9) if position != 4]
    expect_close(norm(changed)[:, others], norm(x)[:, others], "other positions after a change at one", tolerance=1e-6)


@torch.no_grad()
def zeros_and_large_numbers_stay_finite(subject: Subject) -> None:
    """A position of zeros, and one of numbers as large as 1e4, come out finite."""
    norm = built(subject)
    for size in (0.0, 1e-20, 1e4):
        y = norm(torch.full((1, 2, PLACE.dim), size))
        assert bool(y.isfinite().all()), (
            f"a position whose channels are all {size} comes out as {y.flatten()[0].item()}"
        )


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every parameter, and the input, receives a gradient."""
    norm, x = built(subject), normal(2, 9, PLACE.dim).requires_grad_()
    expect_gradients(norm, norm(x), x)


LAWS = (
    *part_laws(Norm, built),
    *map(
        law,
        (
            keeps_shape_and_dtype,
            statistics_are_float32,
            positions_do_not_meet,
            zeros_and_large_numbers_stay_finite,
            every_parameter_gets_a_gradient,
        ),
    ),
)
