"""The gated delta rule for whole sequences: chunks of positions as matrix products, and flash-linear-attention's kernels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel
from nanochat_framework.kernels import naive

CHUNK = 64


def chunked(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `kernels.naive.gated_delta_rule`, CHUNK positions at a time (Yang et al. 2024, arXiv 2412.06464, section 3.3).

    Within a chunk, with c the cumulative log decay and L_ij = exp(c_i - c_j) for i >= j, what the positions write solves the
    unit lower triangular system (I + tril(β k kᵀ · L, -1)) u = β v; what the state before the chunk would have said
    is taken off through w, the same system's solution for β k exp(c).
    """
    seq = query.shape[2]
    if seq == 1:
        return naive.gated_delta_rule(query, key, value, decay, beta, state)
    memory = query.new_zeros(*key.shape[:2], key.shape[3], value.shape[3]) if state is None else state
    missing = -seq % CHUNK if seq > CHUNK else 0
    size = min(CHUNK, seq)
    q, k, v = (_chunks(functional.pad(x, (0, 0, 0, missing)), size) for x in (query, key, value))
    cumulative = _chunks(functional.pad(decay, (0, missing)), size).cumsum(dim=-1)
    b = _chunks(functional.pad(beta, (0, missing)), size)[..., None]
    lower = torch.ones(size, size, dtype=torch.bool, device=query.device).tril()
    kept = (cumulative[..., :, None] - cumulative[..., None, :]).masked_fill(~lower, -torch.inf).exp()
    system = (b * k @ k.transpose(-1, -2) * kept).tril(-1)
    known = torch.cat([b * v, b * k * cumulative.exp()[..., None]], dim=-1)
    solved = torch.linalg.solve_triangular(system, known, upper=False, unitriangular=True)
    written, recalled = torch.split(solved, [v.shape[-1], k.shape[-1]], dim=-1)
    inside = q @ k.transpose(-1, -2) * kept
    reading = q * cumulative.exp()[..., None]
    writing = (k * (cumulative[..., -1:] - cumulative).exp()[..., None]).transpose(-1, -2)
    over = cumulative[..., -1].exp()[..., None, None]
    outputs = []
    for chunk in range(q.shape[2]):
        new = written[:, :, chunk] - recalled[:, :, chunk] @ memory
        outputs.append(reading[:, :, chunk] @ memory + inside[:, :, chunk] @ new)
        memory = memory * over[:, :, chunk] + writing[:, :, chunk] @ new
    return torch.cat(outputs, dim=2)[:, :, :seq], memory


def _chunks(x: Tensor, size: int) -> Tensor:
    """(batch, heads, seq, ...) -> (batch, heads, seq / size, size, ...)."""
    return x.reshape(*x.shape[:2], -1, size, *x.shape[3:])


def _flash_linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `kernels.naive.gated_delta_rule`; fla puts the sequence before the heads and scales queries unless told not to."""
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule  # type: ignore[import-not-found]

    q, k, v, g, b = (x.transpose(1, 2).contiguous() for x in (query, key, value, decay, beta))
    output, memory = chunk_gated_delta_rule(
        q, k, v, g, b, scale=1.0, initial_state=state, output_final_state=True, use_qk_l2norm_in_kernel=False
    )
    return output.transpose(1, 2), memory


def build_chunked(config: ComponentConfig) -> Kernel:
    """Factory of `gated_delta_rule/chunked`."""
    return chunked


def build_flash_linear_attention(config: ComponentConfig) -> Kernel:
    """Factory of `gated_delta_rule/flash_linear_attention`."""
    return _flash_linear_attention
