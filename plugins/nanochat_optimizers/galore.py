"""GaLore (Zhao et al. 2024, arXiv 2403.03507): AdamW whose averages live in a low-rank space of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.errors import UsageError
from nanochat_optimizers.config import GaloreConfig
from nanochat_optimizers.slots import SlotOptimizer, counter


class Galore(SlotOptimizer):
    """R = Pᵀ G; M, V: Adam's averages of R; w ← w · (1 - lr · wd) - lr · scale · P · M̂ / (√V̂ + eps).

    P (short side, rank) holds the leading singular vectors of the gradient's shorter side and is chosen anew every
    `refresh_every` updates; the averages go on in the new space, as in the paper's code. For a tall matrix G is transposed
    throughout. The only tensors kept are P, M and V: that is what saves memory.
    """

    def __init__(self, config: GaloreConfig, parameters: Sequence[NamedParameter]) -> None:
        """Raises UsageError for a parameter that is no matrix."""
        for parameter in parameters:
            if parameter.tensor.ndim != 2:
                raise UsageError(
                    f"[[optimizer]] galore cannot update {parameter.name} (role {parameter.role!r}, shape "
                    f"{tuple(parameter.tensor.shape)}): it takes matrices; put a table that matches {parameter.role!r} "
                    f"before this one"
                )
        slots: dict[str, Callable[[Tensor], Tensor]] = {
            "projection": lambda weight: _zeros(weight, min(weight.shape), self._rank(weight)),
            "exp_avg": lambda weight: _zeros(weight, self._rank(weight), max(weight.shape)),
            "exp_avg_sq": lambda weight: _zeros(weight, self._rank(weight), max(weight.shape)),
            "step": counter,
        }
        self.config = config
        super().__init__(parameters, slots)

    def _rank(self, weight: Tensor) -> int:
        rows, columns = weight.shape
        return min(self.config.rank, rows, columns)

    @torch.no_grad()
    def step(self, hyperparameters: Mapping[str, float]) -> None:
        """One update; see `contracts.optimizer`."""
        lr, weight_decay = hyperparameters["lr"], hyperparameters["weight_decay"]
        for parameter in self.with_gradients():
            weight, gradient = parameter.tensor, parameter.tensor.grad
            assert gradient is not None
            tall = weight.shape[0] > weight.shape[1]
            update = self._update(self.state()[parameter.name], gradient.t() if tall else gradient)
            if weight_decay:
                weight.mul_(1.0 - lr * weight_decay)
            weight.add_(update.t() if tall else update, alpha=-lr * self.config.scale)

    def _update(self, slots: Mapping[str, Tensor], gradient: Tensor) -> Tensor:
        """The direction at full size, (short, long), for a gradient of that shape."""
        projection, first, second, step = (slots[name] for name in ("projection", "exp_avg", "exp_avg_sq", "step"))
        if int(step) % self.config.refresh_every == 0:
            left, _, _ = torch.linalg.svd(gradient, full_matrices=False)
            projection.copy_(left[:, : projection.shape[1]])
        step += 1
        beta1, beta2 = self.config.betas
        low = projection.t() @ gradient
        first.lerp_(low, 1.0 - beta1)
        second.mul_(beta2).addcmul_(low, low, value=1.0 - beta2)
        count = int(step)
        denominator = torch.div(second, 1.0 - beta2**count, out=low).sqrt_().add_(self.config.eps)
        return projection @ (first / denominator).div_(1.0 - beta1**count)


def _zeros(weight: Tensor, rows: int, columns: int) -> Tensor:
    return torch.zeros(rows, columns, dtype=torch.float32, device=weight.device)


def build_galore(config: GaloreConfig, *, parameters: Sequence[NamedParameter]) -> Galore:
    """Factory of `galore`."""
    return Galore(config, parameters)
