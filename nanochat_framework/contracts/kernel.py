"""Contract of a kernel: a faster implementation of one of the core's operations (`kernels.operations`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Kernel = Callable[..., Any]
"""A callable with the signature of the naive operation. Factory: `build(config)` returns it.

It must agree with the naive operation to the accuracy of its dtype, forward and backward; tests hold it to that.
"""
