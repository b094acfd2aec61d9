"""Contract of a quantizer: what training simulates and exporters store."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from nanochat_framework.model.quantized import QuantizedWeight


class Quantizer(ABC):
    """Rounds the weights (and activations) of the maps it is given. Factory: `build(config)`.

    `model.linear.Linear` calls `quantize` once for each change of the weight, caches the result, and passes gradients
    straight through (Bengio et al. 2013, arXiv 1308.3432). Groups run along the last (input) dimension; a partial last
    group is allowed, only an exporter may refuse it.
    """

    @abstractmethod
    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of a weight (..., out_features, in_features), float32, without gradient.

        Scales must be values that float16 holds exactly, so that files store what training used.
        """

    def quantize_activations(self, x: Tensor) -> Tensor:
        """The input of a quantised map as the map sees it: (..., in_features), same dtype. Default: unchanged."""
        return x
