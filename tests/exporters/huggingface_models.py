"""Small models of both worlds: ours as bundles, transformers' with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.plugins import Registry
from tests.exporters.models import build
from tests.laws.combinations import random_tokens

ATTENTION = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16}


def small(registry: Registry, quantizers: list[dict[str, Any]] | None = None, **changes: Any) -> ModelBundle:
    """A decoder of width 64 as a bundle."""
    sizes = {"dim": 64, "attention": ATTENTION, "ffn": {"name": "swiglu", "hidden_dim": 96}}
    return build(registry, quantizers or [], **{**sizes, **changes})[1]


@torch.no_grad()
def our_logits(bundle: ModelBundle, tokens: Tensor) -> Tensor:
    """Logits of a bundle's model."""
    logits: Tensor = model_from_bundle(bundle)(tokens)
    return logits


@torch.no_grad()
def their_logits(folder: Path | nn.Module, tokens: Tensor) -> Tensor:
    """Logits that transformers computes, from a folder or with a model of its own."""
    import transformers

    if not isinstance(folder, nn.Module):
        folder = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    logits: Tensor = folder.eval()(tokens).logits
    return logits


def some_tokens(bundle: ModelBundle, length: int = 40) -> Tensor:
    """Random ids of a bundle's vocabulary: (2, length)."""
    return random_tokens(2, length) % bundle.description.vocab_size
