"""The laws of a channel mixer (`contracts.ffn`)."""

from __future__ import annotations

import torch

from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.model.auxiliary import collecting
from nanochat_framework.testing.parts import part_laws
from nanochat_framework.testing.subject import PLACE, Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import away_from_the_start, expect_close, expect_gradients, normal

SHAPE = (2, 33, PLACE.dim)
"""Of the inputs below: enough positions that each of a few experts is chosen."""


def built(subject: Subject) -> FeedForward:
    """The mixer in evaluation mode, its weights away from where they start."""
    ffn: FeedForward = subject.build(place=PLACE)
    return away_from_the_start(ffn).eval()


def keeps_shape_and_dtype(subject: Subject) -> None:
    """(batch, seq, dim) becomes (batch, seq, dim) of the same dtype, float32 and bfloat16, training and not."""
    mixer = built(subject)
    for dtype in (torch.float32, torch.bfloat16):
        for training in (False, True):
            x = normal(*SHAPE).to(dtype)
            y = mixer.train(training)(x)
            assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
            assert y.dtype == dtype, f"{dtype} became {y.dtype}"


@torch.no_grad()
def positions_do_not_meet(subject: Subject) -> None:
    """Each position is mixed by itself: its output depends on no other position, before or after, nor on other rows."""
    mixer, x = built(subject), normal(*SHAPE)
    for training in (True, False):
        whole = mixer.train(training)(x)
        changed = x.clone()
        changed[:, 5] += normal(2, PLACE.dim, seed=1)
        found = mixer(changed)
        others = [position for position in range(SHAPE[1]) if position != 5]
        expect_close(found[:, others], whole[:, others], "other positions after a change at position 5", tolerance=1e-5)
        assert float((found[:, 5] - whole[:, 5]).abs().max()) > 1e-6, "position 5 does not depend on its own input"
    expect_close(mixer(x[1:, 4:9]), whole[1:, 4:9], "five positions of one row alone")


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every parameter, and the input, receives a gradient."""
    mixer = built(subject).train()
    x = normal(*SHAPE).requires_grad_()
    expect_gradients(mixer, mixer(x), x)


def further_losses_are_scalars(subject: Subject) -> None:
    """Losses handed to `add_auxiliary_loss` are finite float32 scalars with a gradient, and only while collected."""
    mixer = built(subject).train()
    with collecting() as losses:
        mixer(normal(*SHAPE).requires_grad_())
    for name, given in losses.items():
        for weight, loss in given:
            assert weight >= 0, f"{name} has the weight {weight}"
            assert loss.shape == () and loss.dtype == torch.float32, f"{name} is {tuple(loss.shape)} {loss.dtype}"
            assert bool(loss.isfinite()) and loss.requires_grad, f"{name} is not finite, or has no gradient"


LAWS = (
    *part_laws(FeedForward, built),
    *map(
        law, (keeps_shape_and_dtype, positions_do_not_meet, every_parameter_gets_a_gradient, further_losses_are_scalars)
    ),
)
