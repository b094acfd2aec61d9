"""A running average of the master weights, beside them (Polyak averaging with exponential weights)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import expm1, log

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError


class WeightAverage:
    """The mean of the weights after each of n updates, the i-th counted dⁿ⁻ⁱ: float32, on the weights' device.

    Kept up by w̄ ← w̄ + a (w - w̄) with a = (1 - d) / (1 - dⁿ), which is Adam's correction for the start (Kingma & Ba
    2014, arXiv 1412.6980): from the first update on the average has nothing of the initial weights, and early ones count
    for no more than their share. For large n it is torch's `get_ema_multi_avg_fn(d)`.
    """

    def __init__(self, parameters: Iterable[NamedParameter], decay: float) -> None:
        """`decay` is d, in (0, 1)."""
        self.decay, self.updates = decay, 0
        self._weights = {p.name: p.tensor.detach() for p in parameters}
        self.tensors = {name: w.to(torch.float32, copy=True) for name, w in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights in, after an update of them. Needs no temporary memory."""
        self.updates += 1
        share = (1.0 - self.decay) / -expm1(self.updates * log(self.decay))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._weights.values()), share)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], where: object) -> None:
        """Take an average back; `updates` is set apart. Raises UsageError, naming `where`, if it is another model's."""
        odd = sorted(set(tensors) ^ set(self.tensors))
        odd += [name for name, mine in self.tensors.items() if name in tensors and tensors[name].shape != mine.shape]
        if odd:
            raise UsageError(f"{where}: its tensors are not this model's ({odd[0]}{' ...' if len(odd) > 1 else ''})")
        for name, mine in self.tensors.items():
            mine.copy_(tensors[name])
