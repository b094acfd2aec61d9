"""Several residual streams mixed by doubly stochastic matrices.

Xie et al. 2025, "mHC: Manifold-Constrained Hyper-Connections" (arXiv 2512.24880), with the mixing matrices written as convex
combinations of permutations (mHC-lite, arXiv 2601.05732), so that they are doubly stochastic by construction.

With streams s (N of them), at sub-layer l, in the papers' order:

    x  = Σ_i p_i s_i                 p = σ(read),  what the sub-layer F sees (before its norm)
    s' = H s + q ⊗ F(x)              q = 2σ(write), H = Σ_k softmax(mixing)_k P_k

The embedding opens all streams and their mean is what the last norm sees. A start that treats streams alike would keep
them equal for ever: reading and writing favour stream l mod N, so they part ways at the first sub-layer and
every weight receives a gradient. The mean write strength starts at 1, like the plain residual's.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.residual import Residual
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.diagnostics import record
from nanochat_residual.config import MhcConfig

FAVOURED = 0.75
"""σ of the favoured stream's logit at the start; the others share what is left of N/2."""
STAYING = 0.88
"""Share of the identity in each mixing matrix at the start."""
FIRST_GATE = 0.01
"""How much the content-dependent part counts for at the start (the papers' value)."""


def permutation_matrices(n: int) -> Tensor:
    """(n!, n, n) float32 in lexicographic order; [k, i, perm_k[i]] = 1, the first is the identity."""
    return torch.stack([torch.eye(n)[list(order)] for order in permutations(range(n))])


class ManifoldHyperConnections(Residual):
    """The state is the streams, (streams, batch, seq, dim), in the dtype of the activations."""

    _permutations: Tensor

    def __init__(self, config: MhcConfig, place: Place) -> None:
        super().__init__()
        self.streams, self.dynamic = config.streams, config.dynamic
        self.mixes_first = config.order == "mix_then_add"
        shapes = config.shapes(place)
        favours = _favouring(shapes["read"][0], config.streams)
        self.read_weight = nn.Parameter(favours.clone())
        self.write_weight = nn.Parameter(favours.clone())
        self.mixing_weight = nn.Parameter(_staying(*shapes["mixing"]))
        names = ["read_weight", "write_weight", "mixing_weight"]
        if config.dynamic:
            self.gates_weight = nn.Parameter(torch.full(shapes["gates"], FIRST_GATE))
            std = (config.streams * place.dim) ** -0.5
            self.projection_weight = nn.Parameter(torch.empty(shapes["projection"]).normal_(std=std))
            names += ["gates_weight", "projection_weight"]
        self.parameter_roles = dict.fromkeys(names, roles.RESIDUAL)
        self.register_buffer("_permutations", permutation_matrices(config.streams), persistent=False)

    def open(self, x: Tensor) -> _Streams:
        """Every stream starts as the embedding."""
        return _Streams(x.expand(self.streams, *x.shape))

    def read(self, state: Any, sublayer: int) -> Tensor:
        """Σ_i p_i s_i. What writing will need of these streams is worked out here, once."""
        streams: Tensor = state.streams
        if self.dynamic:
            state.logits = self._logits(streams, sublayer)
        strengths = torch.sigmoid(self._part(state, sublayer, 0)).to(streams.dtype)
        return _weighted(strengths, streams)

    def write(self, state: Any, y: Tensor, sublayer: int) -> _Streams:
        """H s + q ⊗ y, or H (s + q ⊗ y)."""
        streams: Tensor = state.streams
        strengths = (2 * torch.sigmoid(self._part(state, sublayer, 1))).to(streams.dtype)
        mixing = self.mixing_matrix(self._part(state, sublayer, 2)).to(streams.dtype)
        spread = _spread(strengths, y)
        after = _mixed(mixing, streams) + spread if self.mixes_first else _mixed(mixing, streams + spread)
        record(f"stream_divergence.{sublayer}", lambda: _divergence(after))
        record(f"write_strength.{sublayer}", lambda: strengths.float().mean())
        record(f"residual_rms.{sublayer}", lambda: after.mean(dim=0).float().square().mean().sqrt())
        return _Streams(after)

    def close(self, state: Any) -> Tensor:
        """The mean of the streams."""
        streams: Tensor = state.streams
        record("composite_gain", self.composite_gain)
        return streams.mean(dim=0)

    def composite_gain(self) -> Tensor:
        """The most that the constant weights of all sub-layers together can magnify the streams: () float32.

        Each sub-layer is taken to pass on what it reads, so it maps the streams by H + q pᵀ (or H (I + q pᵀ)); the result is
        the spectral norm of the product of these maps. Mixing alone is doubly stochastic and never magnifies.
        """
        eye = torch.eye(self.streams, device=self.read_weight.device)
        product = eye
        for reads, writes, mixing in zip(self.read_weight, self.write_weight, self.mixing_weight, strict=True):
            passed = torch.outer(2 * torch.sigmoid(writes), torch.sigmoid(reads))
            mixed = self.mixing_matrix(mixing)
            product = (mixed + passed if self.mixes_first else mixed @ (eye + passed)) @ product
        gain: Tensor = torch.linalg.matrix_norm(product, ord=2)
        return gain

    def mixing_matrix(self, logits: Tensor) -> Tensor:
        """Doubly stochastic matrices, float32: (..., 1 or 24) -> (..., streams, streams)."""
        if self.streams == 2:
            keep = torch.sigmoid(logits.float())[..., None]
            return keep * self._permutations[0] + (1 - keep) * self._permutations[1]
        mixing: Tensor = torch.tensordot(torch.softmax(logits.float(), dim=-1), self._permutations, dims=1)
        return mixing

    def _logits(self, streams: Tensor, sublayer: int) -> Tensor:
        """The content-dependent part, float32: (batch, seq, 2 · streams + mixing), from the streams' common RMS norm."""
        flat = streams.movedim(0, -2).flatten(-2).float()
        normed = flat * torch.rsqrt(flat.square().mean(dim=-1, keepdim=True) + 1e-6)
        return nn.functional.linear(normed, self.projection_weight[sublayer])

    def _part(self, state: _Streams, sublayer: int, part: int) -> Tensor:
        """Logits of reading (0), writing (1) or mixing (2), float32: (n,), or (batch, seq, n) where they are dynamic."""
        constant = (self.read_weight, self.write_weight, self.mixing_weight)[part][sublayer]
        if not self.dynamic:
            return constant
        assert state.logits is not None
        start = part * self.streams
        content = state.logits[..., start : start + constant.shape[-1]]
        return constant + self.gates_weight[sublayer, part] * content


class _Streams:
    """The streams, and the logits that were read off them."""

    def __init__(self, streams: Tensor) -> None:
        self.streams = streams
        self.logits: Tensor | None = None


def _divergence(streams: Tensor) -> Tensor:
    """RMS of the streams' differences from their mean over the RMS of the mean; 0: they are all the same."""
    mean = streams.float().mean(dim=0)
    return (streams.float() - mean).square().mean().sqrt() / mean.square().mean().sqrt().clamp_min(1e-12)


def _weighted(strengths: Tensor, streams: Tensor) -> Tensor:
    """Σ_i p_i s_i: (n,) or (batch, seq, n) with (n, batch, seq, dim) -> (batch, seq, dim)."""
    weights = strengths.movedim(-1, 0)
    weights = weights[..., None] if weights.dim() > 1 else weights[:, None, None, None]
    return (weights * streams).sum(dim=0)


def _spread(strengths: Tensor, y: Tensor) -> Tensor:
    """q ⊗ y: (n,) or (batch, seq, n) with (batch, seq, dim) -> (n, batch, seq, dim)."""
    weights = strengths.movedim(-1, 0)
    return (weights[..., None] if weights.dim() > 1 else weights[:, None, None, None]) * y


def _mixed(mixing: Tensor, streams: Tensor) -> Tensor:
    """H s: (n, n) or (batch, seq, n, n) with (n, batch, seq, dim) -> (n, batch, seq, dim)."""
    if mixing.dim() == 2:
        mixed: Tensor = torch.tensordot(mixing, streams, dims=1)
        return mixed
    return torch.einsum("btij,jbtd->ibtd", mixing, streams)


def _favouring(sublayers: int, streams: int) -> Tensor:
    """(sublayers, streams) logits whose sigmoids add up to streams / 2, with FAVOURED at stream l mod streams."""
    other = (streams / 2 - FAVOURED) / (streams - 1)
    logits = torch.full((sublayers, streams), math.log(other / (1 - other)))
    places = torch.arange(sublayers)
    logits[places, places % streams] = math.log(FAVOURED / (1 - FAVOURED))
    return logits


def _staying(sublayers: int, n_mixing: int) -> Tensor:
    """(sublayers, n_mixing) logits that give the identity STAYING of the weight."""
    odds = math.log(STAYING / (1 - STAYING))
    if n_mixing == 1:
        return torch.full((sublayers, 1), odds)
    logits = torch.zeros(sublayers, n_mixing)
    logits[:, 0] = odds + math.log(n_mixing - 1)
    return logits


def build_mhc(config: MhcConfig, *, place: Place) -> ManifoldHyperConnections:
    """Factory of `mhc`."""
    return ManifoldHyperConnections(config, place)
