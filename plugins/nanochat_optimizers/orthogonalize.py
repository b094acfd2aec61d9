"""The nearest semi-orthogonal matrix, approximately, by matrix products alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nanochat_framework.machine.cpu import cpu_flags

Quintic = tuple[float, float, float]
"""(a, b, c) of the odd polynomial a·x + b·x³ + c·x⁵ that one iteration applies to the singular values."""

NEWTON_SCHULZ: Quintic = (3.4445, -4.7750, 2.0315)
"""One quintic for every iteration, steepest at 0; it does not converge, it brings values into about [0.7, 1.2]
(Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""

_POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
_SAFETY = 1.01  # keeps bfloat16's rounding from pushing a singular value out of the range the polynomials are made for
POLAR_EXPRESS: tuple[Quintic, ...] = (
    *((a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in _POLAR_EXPRESS),
    (1.875, -1.25, 0.375),
)
"""The minimax quintic of each iteration for singular values in [1e-3, 1]; the last one is repeated
(Amsel et al. 2025, arXiv 2505.16932)."""

_SMALLEST_NORM = 1e-7


def iterations(coefficients: str, n_steps: int) -> tuple[Quintic, ...]:
    """The quintics of n_steps iterations: "newton_schulz" or "polar_express"."""
    if coefficients == "newton_schulz":
        return (NEWTON_SCHULZ,) * n_steps
    return (POLAR_EXPRESS + POLAR_EXPRESS[-1:] * n_steps)[:n_steps]


def orthogonalize_(matrices: Tensor, quintics: Sequence[Quintic], dtype: torch.dtype) -> Tensor:
    """U·p(Σ)·Vᵀ of each matrix U·Σ·Vᵀ, p the composition of the quintics, Σ scaled to Frobenius norm 1.

    Args:
        matrices: (n, rows, columns); overwritten. One of Frobenius norm below 1e-7 gives less than the others do, and
            zeros give zeros.
        quintics: what each iteration applies to the singular values.
        dtype: of the products; the scaling is done in the dtype of `matrices`.

    Returns:
        (n, rows, columns) in `dtype`.
    """
    norms = torch.linalg.vector_norm(matrices, dim=(-2, -1), keepdim=True).clamp_min(_SMALLEST_NORM)
    x: Tensor = matrices.div_(norms).to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT.contiguous()  # the Gram matrix is then the smaller one
    for a, b, c in quintics:
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


def product_dtype(setting: str, device: torch.device) -> torch.dtype:
    """What "auto", "fp32" or "bf16" means on a device.

    A CPU with bfloat16 dot products does the iterations 2.2 times as fast as in float32; one without them emulates
    bfloat16, which is slower.
    """
    if setting == "auto":
        native = device.type == "cuda" or (device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & cpu_flags()))
        return torch.bfloat16 if native else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[setting]
