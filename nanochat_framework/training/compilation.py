"""torch.compile for training: a model's parts are compiled one by one, and layers of one kind share the code."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import nn

from nanochat_framework.contracts.attention import Attention
from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.norm import Norm
from nanochat_framework.errors import UsageError
from nanochat_framework.machine.compiler import compiling_problem
from nanochat_framework.machine.folders import cache_folder
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.stacked import StackedLinears

COMPILED = (Attention, FeedForward, Norm)


def compile_parts(model: LanguageModel, device: torch.device) -> None:
    """Compile every attention, feed-forward part and norm at its first call.

    Whole models are not compiled: the loss at the head and the residual stream run eagerly around the parts, and a
    stranger's part that cannot be traced costs nothing but its own speed. What was compiled is kept on the disk
    (`TORCHINDUCTOR_CACHE_DIR`, else `nanochat/torch` in the user's cache folder), so only the first run waits.
    Raises UsageError where there is no compiler that could be used.
    """
    prepare_to_compile(device, "train.compile")
    for part in _outermost(model):
        part.compile()


def prepare_to_compile(device: torch.device, setting: str) -> None:
    """Say where compiled code is kept. Raises UsageError, naming the setting that asks for it, where that cannot work."""
    problem = compiling_problem() if device.type == "cpu" else None
    if problem is not None:
        raise UsageError(f"{setting}: {problem}")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torch"))


def prepare_weights(model: LanguageModel, dtype: torch.dtype) -> None:
    """Make what products in `dtype` use, before a step: compiled code reads it and cannot make it itself."""
    for module in model.modules():
        if isinstance(module, Linear | StackedLinears):
            module.prepared(dtype)


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, COMPILED):
            yield child
        else:
            yield from _outermost(child)
