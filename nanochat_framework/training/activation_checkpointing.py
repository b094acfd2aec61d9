"""Memory for time: activations that are computed again in the backward pass (Chen et al. 2016, arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from nanochat_framework.contracts.model import LanguageModel

_aten = torch.ops.aten
_KEPT = {
    _aten.mm.default,
    _aten.addmm.default,
    _aten.bmm.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
}
"""What "selective" keeps: matrix products and attention, which are dear to repeat; the rest costs memory traffic only."""


def checkpoint_activations(model: LanguageModel, mode: str) -> None:
    """Make training keep less of each layer.

    Args:
        mode: "none"; "block" keeps a layer's input and computes all of it again; "selective" keeps the results of its
            matrix products and attention besides. Losses and gradients are the same, bit for bit.
    """
    if mode == "none":
        return
    settings: dict[str, Any] = {"use_reentrant": False}
    if mode == "selective":
        settings["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)

    def run_layer(layer: Callable[..., Any], *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return layer(*inputs)
        return checkpoint(layer, *inputs, **settings)

    model.run_layer = run_layer


def _policy(context: Any, operation: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _KEPT else CheckpointPolicy.PREFER_RECOMPUTE
