"""The laws of a token filter (`contracts.objective.TokenFilter`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanochat_framework.contracts.objective import TokenFilter
from nanochat_framework.testing.drawn_settings import for_settings
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import normal


def built(subject: Subject, settings: dict[str, Any] | None = None) -> TokenFilter:
    """The filter."""
    token_filter: TokenFilter = subject.build(subject.selected(settings).config)
    return token_filter


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `TokenFilter`."""
    found = built(subject)
    assert isinstance(found, TokenFilter), f"the factory returns a {type(found).__name__}, which is no TokenFilter"


def keeps_or_drops_each_row(subject: Subject) -> None:
    """`keep` maps (rows,) losses to (rows,) booleans, also where there are none, and changes no loss."""
    token_filter = built(subject)
    for losses in (_losses(), torch.empty(0), torch.zeros(3), torch.full((2,), 50.0)):
        before = losses.clone()
        kept = token_filter.keep(losses)
        assert kept.shape == losses.shape and kept.dtype == torch.bool, f"keep gives {tuple(kept.shape)} {kept.dtype}"
        assert torch.equal(losses, before), "keep changes the losses in place"


def each_token_is_judged_by_itself(subject: Subject) -> None:
    """What is kept depends on a token's own loss: neither chunks, nor their order, nor a second asking change it."""

    def check(settings: dict[str, Any]) -> None:
        token_filter, losses = built(subject, settings), _losses()
        whole = token_filter.keep(losses)
        assert torch.equal(token_filter.keep(losses), whole), "asked again, other tokens are kept"
        pieces = torch.cat([token_filter.keep(piece) for piece in torch.split(losses, 7)])
        assert torch.equal(pieces, whole), "in chunks of 7 rows other tokens are kept"
        order = torch.randperm(len(losses), generator=torch.Generator().manual_seed(1))
        assert torch.equal(token_filter.keep(losses[order]), whole[order]), "in another order other tokens are kept"

    for_settings(subject, check)


def _losses() -> Tensor:
    """(60,) cross-entropies, nats: from certain to hopeless."""
    return (normal(60).abs() * torch.linspace(0.0, 4.0, 60)).contiguous()


LAWS = tuple(map(law, (the_factory_builds_the_contract, keeps_or_drops_each_row, each_token_is_judged_by_itself)))
