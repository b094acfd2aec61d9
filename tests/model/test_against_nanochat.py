"""The decoder with nanochat's choices, written out once more as its author writes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from tests.laws.combinations import changes, random_tokens

HEADS, HEAD_DIM = 4, 16


def _norm(x: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), eps=1e-6)


def _rotated(x: Tensor) -> Tensor:
    """x (batch, seq, heads, head_dim); theta 10,000, halves rotated against each other."""
    frequency = 1.0 / 10000 ** (torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angle = torch.outer(torch.arange(x.shape[1]).float(), frequency)[None, :, None]
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=-1)


def _reference(weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Norm after the embedding, rotate then normalise heads, squared ReLU, no gains, scores capped at 15."""
    x = _norm(weights["embedding.weight"][tokens])
    for layer in range(2):
        part = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"blocks.{layer}.")}
        y = _norm(x)
        q, k, v = (
            functional.linear(y, part[f"attention.{n}.weight"]).unflatten(-1, (HEADS, -1))
            for n in ("query", "key", "value")
        )
        q, k = _norm(_rotated(q)), _norm(_rotated(k))
        if "value_embedding.table.weight" in part:
            opened = 3 * torch.sigmoid(functional.linear(y[..., :12], part["value_embedding.gate.weight"]))
            v = v + opened.unsqueeze(-1) * part["value_embedding.table.weight"][tokens].view(v.shape)
        mixed = functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
        x = x + functional.linear(mixed.transpose(1, 2).flatten(2), part["attention.output.weight"])
        hidden = functional.relu(functional.linear(_norm(x), part["ffn.up.weight"])).square()
        x = x + functional.linear(hidden, part["ffn.down.weight"])
    return 15 * torch.tanh(functional.linear(_norm(x), weights["head.weight"]) / 15)


@pytest.mark.parametrize("value_embeddings", [None, {}], ids=["2025", "value-embeddings"])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_logits_agree(
    tiny_config: Callable[..., RunConfig], scale: float, value_embeddings: dict[str, object] | None
) -> None:
    """With a head scaled up the cap is felt."""
    parts = {"model__tie_embeddings": False, "model__value_embeddings": value_embeddings}
    config = tiny_config(**{**changes("nanochat"), **parts})
    model = build_model(config.model, seed=3)
    tokens = random_tokens(2, 40)
    with torch.no_grad():
        model.head.weight.mul_(scale)
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        logits = model(tokens)
        torch.testing.assert_close(logits, _reference(weights, tokens), rtol=1e-4, atol=1e-4)
    assert logits.abs().max() <= 15
