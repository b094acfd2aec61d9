"""Token filters in training: building the chosen one, and leaving dropped tokens out of the first layers' backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.objective import TokenFilter
from nanochat_framework.model.kept_rows import KeptRows, keeping


def build_token_filter(config: RunConfig) -> TokenFilter | None:
    """The `[token_filter]` component, None where there is none."""
    if config.token_filter is None:
        return None
    built: TokenFilter = config.token_filter.component.build()
    return built


class SkippingLayers:
    """The first layers of a model, whose linear maps pass gradients of kept tokens only.

    In these layers a linear map takes what it reads at dropped tokens for constants: those places add nothing to its
    weight's gradient, and nothing runs on below them. With every layer among them no gradient reaches a dropped place; that
    is Collider's rule (arXiv 2502.00340). The exact gradient differs, for kept tokens attend to the keys and values of
    dropped ones; in the layers above, and along the residual stream, it is followed exactly.
    """

    def __init__(self, model: LanguageModel, n_layers: int) -> None:
        self.n_layers = n_layers
        self._kept: KeptRows | None = None
        if n_layers:
            self._run_layer = model.run_layer
            model.run_layer = self._run

    @contextmanager
    def forward(self, shape: torch.Size) -> Iterator[KeptRows | None]:
        """For a forward pass of tokens (batch, seq): gives what must be told the kept tokens before its backward pass."""
        self._kept = KeptRows(shape) if self.n_layers else None
        try:
            yield self._kept
        finally:
            self._kept = None

    def _run(self, layer: Callable[..., Any], number: int, *inputs: Any) -> Any:
        kept = self._kept
        if kept is None or number >= self.n_layers:
            return self._run_layer(layer, number, *inputs)

        def layer_that_keeps(*arguments: Any) -> Any:
            with keeping(kept):
                return layer(*arguments)

        return self._run_layer(layer_that_keeps, number, *inputs)
