"""acme/widget is the n-gram model of its definition."""

from __future__ import annotations

import torch

from nanochat_framework.plugins import load_plugins


def test_the_definition_one_position_at_a_time() -> None:
    """Each position from the embeddings of the last three tokens, newest first."""
    component = load_plugins().registry.get("model", "acme/widget")
    config = component.config_class()(dim=8, vocab_size=20, max_seq_len=16, n_tokens=3)
    model = component.load_factory()(config)
    tokens = torch.randint(20, (2, 6), generator=torch.Generator().manual_seed(0))
    found = model(tokens)
    embedded = model.embedding.weight[tokens]
    nothing = torch.zeros(2, 8)
    for t in range(6):
        context = torch.cat([embedded[:, t - age] if t >= age else nothing for age in range(3)], dim=-1)
        hidden = embedded[:, t] + torch.tanh(context @ model.context.weight.T)
        normed = hidden / (hidden.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        torch.testing.assert_close(found[:, t], normed @ model.head.weight.T)
