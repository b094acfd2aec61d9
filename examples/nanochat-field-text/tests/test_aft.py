"""field/aft against its definition, computed in another way."""

from __future__ import annotations

import torch

from nanochat_field_text.aft import build_aft
from nanochat_field_text.config import AftConfig
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents

PLACE = Place("blocks.0.attention.", dim=8, n_layers=2, max_seq_len=64, layer=0)


def test_a_mean_weighted_by_a_softmax_over_the_past() -> None:
    """Each position by itself: softmax of the keys up to it, times the values, times the gate."""
    torch.manual_seed(0)
    mixer = build_aft(AftConfig(inner_dim=12, key_limit=4.0), place=PLACE)
    x = torch.randn(2, 9, 8)
    found = mixer(x, torch.arange(9))
    query, key, value = (x @ getattr(mixer, name).weight.T for name in ("query", "key", "value"))
    for t in range(9):
        weights = torch.softmax(4.0 * torch.tanh(key[:, : t + 1] / 4.0), dim=1)
        mean = (weights * value[:, : t + 1]).sum(dim=1)
        torch.testing.assert_close(found[:, t], (query[:, t].sigmoid() * mean) @ mixer.output.weight.T)


def test_a_short_document_after_a_heavy_one_keeps_its_digits() -> None:
    """What came before a document, whatever its weights were, changes not one bit of it."""
    torch.manual_seed(0)
    mixer = build_aft(AftConfig(inner_dim=12), place=PLACE)
    last = torch.randn(1, 4, 8)
    heavy = torch.cat((1e3 * torch.randn(1, 28, 8), last), dim=1)
    ids = torch.tensor([[0] * 28 + [1] * 4])
    found = mixer(heavy, Documents(ids).positions, documents=Documents(ids))[:, 28:]
    torch.testing.assert_close(found, mixer(last, torch.arange(4)), rtol=1e-6, atol=1e-7)
