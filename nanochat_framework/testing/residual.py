"""The laws of a residual stream (`contracts.residual`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanochat_framework.contracts.residual import Residual
from nanochat_framework.testing.parts import part_laws
from nanochat_framework.testing.subject import PLACE, Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import away_from_the_start, expect_close, expect_gradients, normal

SUBLAYERS = 2 * PLACE.n_layers
SHAPE = (2, 7, PLACE.dim)


def built(subject: Subject) -> Residual:
    """The stream, its weights away from where they start."""
    residual: Residual = subject.build(place=PLACE)
    return away_from_the_start(residual)


def keeps_shape_and_dtype(subject: Subject) -> None:
    """What is read and what is closed has the shape and dtype of what was opened, for every sub-layer."""
    residual = built(subject)
    for dtype in (torch.float32, torch.bfloat16):
        state = residual.open(normal(*SHAPE).to(dtype))
        for sublayer in range(SUBLAYERS):
            y = residual.read(state, sublayer)
            assert y.shape == SHAPE, f"sub-layer {sublayer} reads {tuple(y.shape)} of a stream of {SHAPE}"
            assert y.dtype == dtype, f"sub-layer {sublayer} reads {y.dtype} of a stream of {dtype}"
            state = residual.write(state, y, sublayer)
        closed = residual.close(state)
        assert closed.shape == SHAPE and closed.dtype == dtype, f"it closes to {tuple(closed.shape)} {closed.dtype}"


@torch.no_grad()
def what_is_written_is_read(subject: Subject) -> None:
    """The embedding reaches the end, and what a sub-layer writes reaches every later sub-layer and the end."""
    residual, x = built(subject), normal(*SHAPE)
    end = _through(residual, x)
    assert float((_through(residual, x + normal(*SHAPE, seed=3)) - end).abs().max()) > 1e-6, (
        "what the stream was opened with does not reach its end"
    )
    for source in range(SUBLAYERS):
        changed = _through(residual, x, louder=source)
        assert float((changed - end).abs().max()) > 1e-6, f"what sub-layer {source} writes does not reach the end"
    for source in range(SUBLAYERS - 1):
        seen, louder = _reads(residual, x), _reads(residual, x, louder=source)
        for later in range(source + 1, SUBLAYERS):
            assert float((louder[later] - seen[later]).abs().max()) > 1e-6, (
                f"what sub-layer {source} writes does not reach sub-layer {later}"
            )


@torch.no_grad()
def nothing_is_changed_in_place(subject: Subject) -> None:
    """`write` returns a new state and leaves the old one: a layer that is run again (checkpointing) finds what it found."""
    residual, x = built(subject), normal(*SHAPE)
    before = x.clone()
    state = residual.open(x)
    for sublayer in range(SUBLAYERS):
        y = residual.read(state, sublayer).clone()
        kept = y.clone()
        following = residual.write(state, y, sublayer)
        assert torch.equal(y, kept), f"write of sub-layer {sublayer} changes the output it is given"
        expect_close(
            residual.read(state, sublayer), kept, f"what sub-layer {sublayer} reads again after it has written"
        )
        again = residual.write(state, y, sublayer)
        expect_close(residual.close(again), residual.close(following), f"sub-layer {sublayer} written a second time")
        state = following
    assert torch.equal(x, before), "the tensor it was opened with has changed"


@torch.no_grad()
def positions_do_not_meet(subject: Subject) -> None:
    """The stream of a position depends on that position alone; mixing positions is the attention's."""
    residual, x = built(subject), normal(*SHAPE)
    changed = x.clone()
    changed[:, 3] += normal(SHAPE[0], PLACE.dim, seed=1)
    others = [position for position in range(SHAPE[1]) if position != 3]
    expect_close(
        _through(residual, changed)[:, others], _through(residual, x)[:, others], "other positions", tolerance=1e-5
    )


@torch.no_grad()
def a_deep_stream_stays_finite(subject: Subject) -> None:
    """Through 64 layers, each of which writes what it reads at length 1, the stream neither overflows nor vanishes."""
    from dataclasses import replace

    place = replace(PLACE, n_layers=64)
    residual: Residual = subject.build(place=place)
    state = residual.open(normal(*SHAPE))
    for sublayer in range(128):
        y = residual.read(state, sublayer)
        state = residual.write(state, y / y.square().mean(dim=-1, keepdim=True).add(1e-6).sqrt(), sublayer)
    size = float(residual.close(state).square().mean().sqrt())
    assert 1e-4 < size < 1e6, f"after 64 layers the stream's root mean square is {size:.3g}"


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every parameter, and what the stream was opened with, receives a gradient: no mixing weight is dead."""
    residual = built(subject)
    x = normal(*SHAPE).requires_grad_()
    expect_gradients(residual, _through(residual, x), x)


def streams_are_as_many_as_it_says(subject: Subject) -> None:
    """`streams`, from which memory is planned, is a whole number: the hidden states that are kept, and the described one."""
    residual = built(subject)
    streams = residual.streams
    assert isinstance(streams, int) and streams >= 1, f"streams is {streams!r}"
    described = getattr(subject.config.describe(PLACE), "streams", streams)
    assert described == streams, f"streams is {streams}, the description says {described}"
    alive = _elements(residual.open(normal(*SHAPE))) / (SHAPE[0] * SHAPE[1] * SHAPE[2])
    assert alive <= streams + 0.5, f"an open stream holds {alive:.1f} hidden states, streams is {streams}"


def _work(x: Tensor, sublayer: int) -> Tensor:
    """What stands for a sub-layer: a fixed map of what it reads."""
    return torch.tanh(x @ normal(PLACE.dim, PLACE.dim, seed=40 + sublayer).to(x) * PLACE.dim**-0.5)


def _run(residual: Residual, x: Tensor, louder: int | None) -> tuple[list[Tensor], Tensor]:
    state: Any = residual.open(x)
    reads = []
    for sublayer in range(SUBLAYERS):
        reads.append(residual.read(state, sublayer))
        y = _work(reads[-1], sublayer)
        state = residual.write(state, 2 * y if sublayer == louder else y, sublayer)
    return reads, residual.close(state)


def _through(residual: Residual, x: Tensor, louder: int | None = None) -> Tensor:
    return _run(residual, x, louder)[1]


def _reads(residual: Residual, x: Tensor, louder: int | None = None) -> list[Tensor]:
    return _run(residual, x, louder)[0]


def _elements(state: Any) -> int:
    if isinstance(state, Tensor):
        return state.numel()
    if isinstance(state, dict):
        return sum(map(_elements, state.values()))
    return sum(map(_elements, state)) if isinstance(state, tuple | list) else 0


LAWS = (
    *part_laws(Residual, built),
    *map(
        law,
        (
            keeps_shape_and_dtype,
            what_is_written_is_read,
            nothing_is_changed_in_place,
            positions_do_not_meet,
            a_deep_stream_stays_finite,
            every_parameter_gets_a_gradient,
            streams_are_as_many_as_it_says,
        ),
    ),
)
