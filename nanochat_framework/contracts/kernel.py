"""Contract of a kernel: a faster implementation of one of the core's operations (`kernels.naive`).

::

    def build_fused_rms_norm(config: ComponentConfig) -> Kernel:
        def rms_norm(x, weight, eps):
            gain = None if weight is None else weight.float()
            return functional.rms_norm(x.float(), x.shape[-1:], gain, eps).to(x.dtype)

        return rms_norm

registered as `registrar.kernel("rms_norm", "fused", factory=..., priority=20, requires=("device:cuda",), summary=...)`. Of the
kernels whose requirements (see `kernels.table`) a machine meets, the one of highest priority is used; the naive form has
none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Kernel = Callable[..., Any]
"""A callable with the signature of the naive operation. Factory: `build(config)` returns it.

It must agree with the naive operation to the accuracy of its dtype, forward and backward, and change no input.
"""
