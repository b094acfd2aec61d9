"""Model FLOPs utilisation (`train/mfu`): what share of the device's peak goes into the model's own operations.

Operations are those that `planning.flops` counts: 3 x forward, causal attention, nothing for what is computed again. PaLM's
convention (Chowdhery et al. 2022, arXiv 2204.02311, appendix B) counts all of the attention square and gives a larger figure.
"""

from __future__ import annotations

import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.flops import flops_per_token
from nanochat_framework.planning.inventory import Inventory, take_inventory
from nanochat_framework.planning.peaks import peak_flops


class Utilisation:
    """For one run, whose sequences may be longer in a later phase."""

    def __init__(self, parts: Inventory, peak: float) -> None:
        """`peak`: operations per second of all devices together."""
        self._parts, self._peak = parts, peak
        self._flops: dict[int, float] = {}

    @classmethod
    def of(cls, config: RunConfig, device: torch.device, n_devices: int) -> Utilisation | None:
        """None where the device's peak is neither stated (`hardware.peak_tflops`) nor known by its name."""
        peak: float | None = 1e12 * config.hardware.peak_tflops
        if not peak and device.type == "cuda":
            peak = peak_flops(torch.cuda.get_device_name(device), config.train.precision)
        return cls(take_inventory(config), n_devices * peak) if peak else None

    def share(self, tokens_per_second: float, seq_len: int) -> float:
        """Of the peak, 0 to 1, at a speed of all devices together."""
        if seq_len not in self._flops:
            self._flops[seq_len] = flops_per_token(self._parts, seq_len).training
        return tokens_per_second * self._flops[seq_len] / self._peak
