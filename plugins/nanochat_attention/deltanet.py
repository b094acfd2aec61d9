"""Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464) in the form of Qwen3-Next and Qwen3.5."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_attention.deltanet_config import DeltaNetConfig
from nanochat_framework.contracts.attention import Attention
from nanochat_framework.kernels.table import active
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.linear import Linear, linear_together
from nanochat_framework.model.state import RecurrentState, SequenceState

FORGOTTEN = -40.0
"""Log decay at the start of a document: exp(-40) of the old memory is left, far below float32's resolution."""
SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1
"""softplus(decay_bias) at the start is spread over this range evenly on a logarithmic scale, as in Mamba."""


class GatedDeltaNet(Attention):
    """Linear in the sequence's length; decodes with a state of fixed size. See `model.description.GatedDeltaNet`."""

    def __init__(self, config: DeltaNetConfig, place: Place) -> None:
        super().__init__()
        self.config = config
        self.n_heads, self.n_value_heads, self.head_dim = config.n_heads, config.value_heads, config.head_dim
        keys, values = self.n_heads * self.head_dim, self.n_value_heads * self.head_dim
        self.query, self.key = (Linear(place.dim, keys, heads=self.n_heads) for _ in range(2))
        self.value, self.gate = (Linear(place.dim, values, heads=self.n_value_heads) for _ in range(2))
        self.beta = Linear(place.dim, self.n_value_heads, role=roles.GATE)
        self.decay = Linear(place.dim, self.n_value_heads, role=roles.GATE)
        self.output = Linear(values, place.dim, init_scale=(2 * place.n_layers) ** -0.5)
        bound = config.convolution_size**-0.5
        self.convolution = nn.Parameter(torch.empty(2 * keys + values, config.convolution_size).uniform_(-bound, bound))
        self.decay_log = nn.Parameter(torch.empty(self.n_value_heads).uniform_(1, 16).log())
        steps = torch.empty(self.n_value_heads).uniform_(math.log(SHORTEST_STEP), math.log(LONGEST_STEP)).exp()
        self.decay_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # softplus of it is the step
        self.norm = nn.Parameter(torch.ones(self.head_dim))
        self.parameter_roles = {
            "convolution": roles.CONV,
            "decay_log": roles.GATE,
            "decay_bias": roles.BIAS,
            "norm": roles.NORM,
        }
        self.kernels = active()

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        *,
        state: SequenceState | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """(batch, seq, dim) -> (batch, seq, dim)."""
        tail, memory = state.tensors if isinstance(state, RecurrentState) and state.tensors else (None, None)
        *mixed, gate = linear_together(x, (self.query, self.key, self.value, self.gate))
        beta, decay = linear_together(x, (self.beta, self.decay))
        convolved, tail = self._convolve(torch.cat(mixed, dim=-1), tail, documents)
        log_decay = -self.decay_log.float().exp() * functional.softplus(decay.float() + self.decay_bias.float())
        if documents is not None:
            log_decay = log_decay.masked_fill(documents.starts[..., None], FORGOTTEN)
        query, key, value = self._heads(convolved)
        outputs, memory = self.kernels.choose("gated_delta_rule", x.device.type).call(
            query, key, value, log_decay.transpose(1, 2), torch.sigmoid(beta.float()).transpose(1, 2), memory
        )
        if isinstance(state, RecurrentState):
            state.append(tail, memory)
            state.advance(x.shape[1])
        normed = self.kernels.choose("rms_norm", x.device.type).call(
            outputs.transpose(1, 2), self.norm, self.config.eps
        )
        gated = normed * functional.silu(gate.float()).view(normed.shape)
        result: Tensor = self.output(gated.flatten(-2).to(x.dtype))
        return result

    def _convolve(self, x: Tensor, tail: Tensor | None, documents: Documents | None) -> tuple[Tensor, Tensor]:
        """SiLU of the depthwise causal convolution, float32, and the last positions that the next ones will need.

        Args:
            x: (batch, seq, channels).
            tail: (batch, taps - 1, channels) that came before; None: zeros.
            documents: positions before a document's start count as zeros.
        """
        taps = self.config.convolution_size
        before = x.new_zeros(x.shape[0], taps - 1, x.shape[2]) if tail is None else tail
        padded = torch.cat([before, x], dim=1)
        total = torch.zeros_like(x, dtype=torch.float32)
        for lag in range(taps):
            shifted = padded[:, taps - 1 - lag : padded.shape[1] - lag].float()
            if documents is not None and lag:
                shifted = shifted.masked_fill((documents.positions < lag)[..., None], 0.0)
            total = total + shifted * self.convolution[:, taps - 1 - lag].float()
        return functional.silu(total), padded[:, padded.shape[1] - (taps - 1) :]

    def _heads(self, convolved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (scaled) and keys of length 1 and values, float32, each (batch, n_value_heads, seq, head_dim)."""
        keys = self.n_heads * self.head_dim
        query, key, value = torch.split(convolved, [keys, keys, self.n_value_heads * self.head_dim], dim=-1)
        query, key, value = (
            part.view(*part.shape[:2], -1, self.head_dim).transpose(1, 2) for part in (query, key, value)
        )
        query = _unit(query) * self.head_dim**-0.5
        repeats = self.n_value_heads // self.n_heads
        if repeats == 1:
            return query, _unit(key), value
        return query.repeat_interleave(repeats, dim=1), _unit(key).repeat_interleave(repeats, dim=1), value

    def new_state(self, batch_size: int) -> SequenceState:
        """An empty memory."""
        return RecurrentState()


def _unit(x: Tensor) -> Tensor:
    """x / sqrt(Σ x² + 1e-6) over the last dimension."""
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + 1e-6)


def build_deltanet(config: DeltaNetConfig, *, place: Place) -> GatedDeltaNet:
    """Factory of `deltanet`."""
    return GatedDeltaNet(config, place)
