"""Naive forms of the operations: always available, and the oracle that every kernel is tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last dimension, in float32; (..., dim) -> (..., dim), dtype of x."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    if weight is not None:
        normed = normed * weight.float()
    return normed.to(x.dtype)


def quantize_activations(x: Tensor) -> Tensor:
    """Round each row to 8 bits by its largest magnitude: (..., in_features), dtype of x, no gradient.

    a = max|x|, q = clamp(round(127 x / a), -127, 127), result q · a / 127; a row of zeros stays zero.
    """
    wide = x.float()
    largest = wide.abs().amax(dim=-1, keepdim=True).clamp_min(1e-8)
    codes = (wide * (127.0 / largest)).round().clamp(-127.0, 127.0)
    return (codes * (largest / 127.0)).to(x.dtype)


def fp8_linear(x: Tensor, weight: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """x Wᵀ where both are values of 8-bit floats times powers of two; no gradient.

    Args:
        x: (..., in_features), each row rounded with one scale.
        weight: (out_features, in_features), dtype of x: the values of codes · scales.
        codes: (out_features, in_features) float8.
        scales: (out_features, 1) float32, powers of two.

    Returns:
        (..., out_features), dtype of x.
    """
    return functional.linear(x, weight)


def grouped_mm(a: Tensor, b: Tensor, ends: Tensor) -> Tensor:
    """Products of matrices that follow one another in memory, a group each (`torch.nn.functional.grouped_mm`); no gradient.

    Args:
        a: (rows, k), with the groups along the rows; or (m, rows), with the groups along the columns.
        b: (groups, k, n) in the first case; (rows, n) in the second.
        ends: (groups,) int32, the row after each group's last one; the last is the number of rows.

    Returns:
        (rows, n), each row times its group's matrix; or (groups, m, n), a product for each group. dtype of a.
    """
    runs = list(zip([0, *ends.tolist()], ends.tolist(), strict=False))
    if b.ndim == 3:
        return torch.cat([a[start:end] @ b[group] for group, (start, end) in enumerate(runs)])
    return torch.stack([a[:, start:end] @ b[start:end] for start, end in runs])


def gated_delta_rule(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gated delta rule, a position at a time (Yang et al. 2024, arXiv 2412.06464, equation 10).

    With S the state of a head: S ← exp(decay_t) · S; S ← S + k_t ⊗ β_t (v_t - Sᵀ k_t); o_t = Sᵀ q_t.

    Args:
        query: (batch, heads, seq, key_dim).
        key: the same, of length at most 1.
        value: (batch, heads, seq, value_dim).
        decay: (batch, heads, seq), at most 0: the logarithm of what is kept of the state.
        beta: (batch, heads, seq) in [0, 1]: how much of what the state gets wrong is corrected.
        state: (batch, heads, key_dim, value_dim) that came before; None: zeros. All float32.

    Returns:
        (batch, heads, seq, value_dim), and the state after the last position.
    """
    memory = query.new_zeros(*key.shape[:2], key.shape[3], value.shape[3]) if state is None else state
    outputs = []
    for t in range(query.shape[2]):
        memory = memory * decay[:, :, t, None, None].exp()
        wrong = value[:, :, t] - torch.einsum("bhk,bhkv->bhv", key[:, :, t], memory)
        memory = memory + key[:, :, t, :, None] * (beta[:, :, t, None] * wrong)[:, :, None]
        outputs.append(torch.einsum("bhk,bhkv->bhv", query[:, :, t], memory))
    return torch.stack(outputs, dim=2), memory
