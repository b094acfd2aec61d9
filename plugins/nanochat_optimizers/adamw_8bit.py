"""torchao's AdamW with both averages in 8 bits (https://github.com/pytorch/ao), as an optimizer of a run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_framework.training.compilation import prepare_to_compile
from nanochat_optimizers.config import AO_BLOCK, Adamw8bitConfig
from nanochat_optimizers.slots import SlotOptimizer

_AVERAGES = {"exp_avg": True, "exp_avg_sq": False}  # whether it has a sign


class Adamw8bit(SlotOptimizer):
    """AdamW (see `adamw`) whose averages are 8-bit codes of a table of 256 values, with a float32 scale for each 256.

    The table is finest near zero (Dettmers et al. 2021, arXiv 2110.02861). Tensors below 4096 values, or whose size is
    no multiple of 256, are kept in float32: torchao's rule. The slots are its own tensors, so a checkpoint holds codes
    and scales; the table is a constant and is left out.
    """

    def __init__(self, config: Adamw8bitConfig, parameters: Sequence[NamedParameter]) -> None:
        """Raises UsageError without torchao, and where compiling needs a compiler that is not there."""
        super().__init__(parameters, {})
        torchao = _import_torchao()
        if config.compile:
            prepare_to_compile(self.parameters[0].tensor.device, "[[optimizer]] adamw_8bit with compile = true")
        self.compiled = config.compile
        self.theirs = torchao.AdamW8bit(
            [parameter.tensor for parameter in self.parameters],
            betas=config.betas,
            eps=config.eps,
            block_size=AO_BLOCK,
        )
        self.group = self.theirs.param_groups[0]
        # a tensor as torchao's learning rate is: a float that follows a schedule would be compiled anew each step
        self.group["weight_decay"] = torch.tensor(0.0)
        for parameter in self.parameters:
            averages = {name: self.theirs._new_buffer(parameter.tensor, signed) for name, signed in _AVERAGES.items()}
            self.theirs.state[parameter.tensor] = {"step": torch.tensor(0.0), **averages}
            self._state[parameter.name] = dict(_slots(self.theirs.state[parameter.tensor]))

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        for name in ("lr", "weight_decay"):
            self.group[name].fill_(hyperparameters[name])
        with torch.compiler.set_stance("default" if self.compiled else "force_eager"), _quiet():
            self.theirs.step()


def _slots(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Names and the live tensors that torchao's state of a parameter is made of."""
    yield "step", state["step"]
    for name in _AVERAGES:
        average = state[name]
        if hasattr(average, "codes"):
            yield f"{name}_codes", average.codes
            yield f"{name}_scales", average.scale
        else:
            yield name, average


def _import_torchao() -> Any:
    """`torchao.optim`. Raises UsageError."""
    try:
        with _quiet():
            from torchao import optim
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({' '.join(str(error).split())})"
        raise UsageError(
            f"[[optimizer]] adamw_8bit is torchao's and needs the extra `torchao`{reason}: "
            "pip install 'nanochat-framework[torchao]'"
        ) from None
    return optim


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torchao's warnings about its compiled kernels for quantised inference, and torch's about torchao."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="OptimState8bit does not implement")
            yield
    finally:
        logging.disable(before)


def build_adamw_8bit(config: Adamw8bitConfig, *, parameters: Sequence[NamedParameter]) -> Adamw8bit:
    """Factory of `adamw_8bit`."""
    return Adamw8bit(config, parameters)
