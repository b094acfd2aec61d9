"""The laws of a sequence mixer (`contracts.attention`)."""

from __future__ import annotations

from itertools import pairwise
from unittest import SkipTest

import torch
from torch import Tensor

from nanochat_framework.config.component import AttentionConfig
from nanochat_framework.contracts.attention import Attention
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import SequenceState, positions_after
from nanochat_framework.testing.parts import part_laws
from nanochat_framework.testing.subject import PLACE, Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import away_from_the_start, expect_close, expect_gradients, normal

LENGTH = 19
"""Positions of the sequences below: odd, and no multiple of any block."""


def built(subject: Subject) -> Attention:
    """The mixer in evaluation mode, its weights away from where they start."""
    attention: Attention = subject.build(place=PLACE)
    return away_from_the_start(attention).eval()


def keeps_shape_and_dtype(subject: Subject) -> None:
    """(batch, seq, dim) becomes (batch, seq, dim) of the same dtype, float32 and bfloat16, training and not."""
    mixer = built(subject)
    for dtype in (torch.float32, torch.bfloat16):
        for training in (False, True):
            x = normal(2, LENGTH, PLACE.dim).to(dtype)
            y = mixer.train(training)(x, torch.arange(LENGTH))
            assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
            assert y.dtype == dtype, f"{dtype} became {y.dtype}"


@torch.no_grad()
def is_causal(subject: Subject) -> None:
    """Output at position t depends on inputs up to t only, in training and while decoding."""
    mixer, x = built(subject), normal(2, LENGTH, PLACE.dim)
    for training in (True, False):
        mixer.train(training)
        whole = _mixed(mixer, x, stateful=not training)
        for t in (0, 6, LENGTH - 2):
            changed = x.clone()
            changed[:, t + 1 :] += normal(2, LENGTH - t - 1, PLACE.dim, seed=1)
            found = _mixed(mixer, changed, stateful=not training)
            what = f"positions 0..{t} after a change of what comes later ({'training' if training else 'decoding'})"
            expect_close(found[:, : t + 1], whole[:, : t + 1], what, tolerance=1e-5)
            moved = (found[:, t + 1] - whole[:, t + 1]).abs().max()
            assert float(moved) > 1e-6, f"the output at position {t + 1} does not depend on the input there"


@torch.no_grad()
def pieces_equal_the_whole(subject: Subject) -> None:
    """Feeding a sequence in pieces through a state gives what feeding it whole gives; `length` counts the positions."""
    mixer, x = built(subject), normal(2, LENGTH, PLACE.dim)
    whole = _mixed(mixer, x, stateful=False)
    for sizes in ([1] * LENGTH, [9, 1, 1, LENGTH - 11], [LENGTH - 1, 1], [LENGTH]):
        state = mixer.new_state(2)
        assert isinstance(state, SequenceState), f"new_state returns a {type(state).__name__}, no SequenceState"
        assert state.length == 0, f"a new state has length {state.length}"
        found = torch.cat([_continued(mixer, piece, state) for piece in torch.split(x, sizes, dim=1)], dim=1)
        expect_close(found, whole, f"fed in pieces of {_sizes(sizes)}")
        assert state.length == LENGTH, f"after {LENGTH} positions the state has length {state.length}"


@torch.no_grad()
def states_can_be_restored_and_forked(subject: Subject) -> None:
    """`restore` goes back to a snapshot, a `fork` goes its own way, `rewind` forgets or refuses with RuntimeError."""
    mixer = built(subject)
    prefix, first, second = (normal(2, 8, PLACE.dim, seed=seed) for seed in (1, 2, 3))
    expected = _mixed(mixer, torch.cat((prefix, second), dim=1), stateful=False)[:, 8:]
    state = mixer.new_state(2)
    _continued(mixer, prefix, state)
    snapshot, fork = state.snapshot(), state.fork()
    _continued(mixer, first, state)
    state.restore(snapshot)
    expect_close(_continued(mixer, second, state), expected, "after restoring a snapshot")
    expect_close(_continued(mixer, second, fork), expected, "in a fork, after the state it was taken from went on")
    if state.can_rewind:
        state.rewind(8)
        expect_close(_continued(mixer, second, state), expected, "after rewinding")
        return
    try:
        state.rewind(8)
    except RuntimeError:
        return
    raise AssertionError("its state says can_rewind = False, and rewind raises no RuntimeError")


@torch.no_grad()
def rows_do_not_meet(subject: Subject) -> None:
    """Sequences of different length that are decoded together get what each gets alone; rows can be chosen again."""
    mixer = built(subject)
    lengths = (11, 4)
    prefixes = [normal(1, length, PLACE.dim, seed=length) for length in lengths]
    more = normal(2, 5, PLACE.dim, seed=9)
    states = [mixer.new_state(1) for _ in lengths]
    for prefix, state in zip(prefixes, states, strict=True):
        _continued(mixer, prefix, state)
    joined = type(states[0]).join(states)
    assert joined.row_lengths(2) == list(lengths), f"joined states have lengths {joined.row_lengths(2)}, not {lengths}"
    found = torch.cat([_continued(mixer, piece, joined) for piece in torch.split(more, [1, 4], dim=1)], dim=1)
    swapped = joined.select([1, 0])
    after = _continued(mixer, more.flip(0), swapped)
    for row, prefix in enumerate(prefixes):
        alone = _mixed(mixer, torch.cat((prefix, more[row : row + 1], more[row : row + 1]), dim=1), stateful=False)
        start = prefix.shape[1]
        expect_close(found[row], alone[0, start : start + 5], f"row {row} of two that are decoded together")
        expect_close(after[1 - row], alone[0, start + 5 :], f"row {row} after the rows changed places")


@torch.no_grad()
def documents_are_alone(subject: Subject) -> None:
    """Documents in one row give what each gives alone; their positions start again at 0."""
    mixer, x = built(subject), normal(2, LENGTH, PLACE.dim)
    cuts = (0, 7, 8, LENGTH)
    ids = torch.zeros(2, LENGTH, dtype=torch.long)
    for cut in cuts[1:-1]:
        ids[:, cut:] += 1
    documents = Documents(ids)
    for training in (True, False):
        found = mixer.train(training)(x, documents.positions, documents=documents)
        for start, end in pairwise(cuts):
            alone = mixer(x[:, start:end], torch.arange(end - start))
            expect_close(found[:, start:end], alone, f"the document at positions {start}..{end - 1} of a row of three")


def added_values_join_the_values(subject: Subject) -> None:
    """Where `value_heads` are named, zeros that are added change nothing, others stay causal, in pieces and in gradients."""
    config = subject.config
    heads = config.value_heads(PLACE) if isinstance(config, AttentionConfig) else None
    if heads is None:
        raise SkipTest("its configuration names no value_heads")
    mixer, x = built(subject), normal(2, LENGTH, PLACE.dim)
    added, positions = normal(2, LENGTH, heads[0] * heads[1], seed=3).requires_grad_(), torch.arange(LENGTH)
    whole = mixer(x, positions, added_values=added)
    expect_close(mixer(x, positions, added_values=torch.zeros_like(added)), mixer(x, positions), "with zeros added")
    changed = torch.cat((added[:, :6], 1 + added[:, 6:]), dim=1)
    found = mixer(x, positions, added_values=changed)
    expect_close(found[:, :6], whole[:, :6], "positions 0..5 after a change of what is added later", tolerance=1e-5)
    assert float((found[:, 6:] - whole[:, 6:]).abs().max()) > 1e-6, "what is added does not reach the output"
    state, pieces = mixer.new_state(2), []
    for part in (slice(0, 9), slice(9, 10), slice(10, LENGTH)):
        place = positions_after([state], part.stop - part.start, x.device)
        pieces.append(mixer(x[:, part], place, state=state, added_values=added[:, part]))
    expect_close(torch.cat(pieces, dim=1), whole, "fed in pieces with what is added")
    whole.sum().backward()
    assert added.grad is not None and bool(added.grad.any()), "no gradient goes back to what is added"


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every parameter, and the input, receives a gradient."""
    mixer = built(subject).train()
    x = normal(2, LENGTH, PLACE.dim).requires_grad_()
    expect_gradients(mixer, mixer(x, torch.arange(LENGTH)), x)


def _mixed(mixer: Attention, x: Tensor, *, stateful: bool) -> Tensor:
    state = mixer.new_state(x.shape[0]) if stateful else None
    mixed: Tensor = mixer(x, torch.arange(x.shape[1]), state=state)
    return mixed


def _continued(mixer: Attention, x: Tensor, state: SequenceState) -> Tensor:
    mixed: Tensor = mixer(x, positions_after([state], x.shape[1], x.device), state=state)
    return mixed


def _sizes(sizes: list[int]) -> str:
    return "1 each" if set(sizes) == {1} else ", ".join(map(str, sizes))


LAWS = (
    *part_laws(Attention, built),
    *map(
        law,
        (
            keeps_shape_and_dtype,
            is_causal,
            pieces_equal_the_whole,
            states_can_be_restored_and_forked,
            rows_do_not_meet,
            documents_are_alone,
            added_values_join_the_values,
            every_parameter_gets_a_gradient,
        ),
    ),
)
