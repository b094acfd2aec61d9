"""Floats to Q6_K blocks: ggml's reference algorithm (`quantize_row_q6_K_ref` of ggml-quants.c), many blocks at once.

A block is 256 weights in 210 bytes: 128 bytes of low halves of the codes, 64 of their high quarters, 16 signed scales of
16 weights each, and a float16 that the scales multiply. A weight is d · scale · (code - 32), code 0 .. 63. The gguf
package decodes this type and cannot write it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BLOCK, N_BYTES = 256, 210
_SUB = 16
_CODES = 32
"""Codes run from -32 to 31."""
_TRIED = (*range(-9, 0), *range(1, 10))
"""Deviations from the first inverse scale, in tenths of a code, that the reference tries."""
_NOTHING = 1e-15
"""A sub-block whose largest magnitude is below this is zero."""
_BLOCKS_AT_A_TIME = 4096


def quantize_q6_k(values: Floats) -> npt.NDArray[np.uint8]:
    """(..., K) float32 -> (..., K / 256 · 210) uint8. K is a multiple of 256; values lie within float16's range."""
    blocks = values.reshape(-1, BLOCK)
    pieces = [
        _quantize(blocks[start : start + _BLOCKS_AT_A_TIME]) for start in range(0, len(blocks), _BLOCKS_AT_A_TIME)
    ]
    return np.concatenate(pieces).reshape(*values.shape[:-1], -1)


def _quantize(blocks: Floats) -> npt.NDArray[np.uint8]:
    x = blocks.reshape(len(blocks), BLOCK // _SUB, _SUB)
    wanted = _best_scales(x)
    largest = np.take_along_axis(wanted, np.abs(wanted).argmax(axis=-1)[:, None], axis=-1)
    empty = np.abs(largest) < _NOTHING
    inverse = np.divide(np.float32(-128), largest, out=np.zeros_like(largest), where=~empty)
    d = np.divide(np.float32(1), inverse, out=np.zeros_like(inverse), where=~empty).astype("<f2")
    scales = np.minimum(127, np.rint(inverse * wanted)).astype(np.int8)
    steps = (d.astype(np.float32) * scales)[..., None]
    ratio = np.divide(x, steps, out=np.zeros_like(x), where=steps != 0)
    codes = (np.clip(np.rint(ratio), -_CODES, _CODES - 1) + _CODES).astype(np.uint8)
    return np.concatenate(
        [_pack(codes.reshape(len(blocks), 2, 4, 32)), scales.view(np.uint8), d.view(np.uint8)], axis=1
    )


def _pack(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(n, 2 halves, 4 quarters, 32) -> low halves (n, 128) and high quarters (n, 64), side by side."""
    low, high = codes & np.uint8(15), codes >> np.uint8(4)
    low_bytes = low[:, :, :2] | (low[:, :, 2:] << np.uint8(4))
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(4, 1)
    high_bytes = np.bitwise_or.reduce(high << shifts, axis=2)
    return np.concatenate([low_bytes.reshape(len(codes), 128), high_bytes.reshape(len(codes), 64)], axis=1)


def _best_scales(x: Floats) -> Floats:
    """(n, sub-blocks, 16) -> (n, sub-blocks): the scale of least squared error, each weighted with its square.

    ggml's `make_qx_quants`: the inverse scale that maps the largest magnitude to -32 and eighteen around it are
    tried; for the codes of each, the best scale is Σ w x l / Σ w l².
    """
    peak = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)
    empty = np.abs(peak) < _NOTHING
    safe = np.where(empty, np.float32(1), peak)
    weights = x * x
    scale = np.zeros(x.shape[:-1], dtype=np.float32)
    best = np.zeros_like(scale)
    for tenths in (0, *_TRIED):
        inverse = -(np.float32(_CODES) + np.float32(0.1) * np.float32(tenths)) / safe
        codes = np.clip(np.rint(inverse * x), -_CODES, _CODES - 1)
        with_x, squared = (weights * x * codes).sum(axis=-1), (weights * codes * codes).sum(axis=-1)
        own = np.divide(with_x, squared, out=np.zeros_like(with_x), where=squared > 0)
        better = (squared > 0) & (with_x * with_x > best * squared) if tenths else np.ones_like(empty[..., 0])
        scale, best = np.where(better, own, scale), np.where(better, own * with_x, best)
    scale[empty[..., 0]] = 0
    return scale
