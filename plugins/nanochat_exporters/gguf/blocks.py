"""Codes and scales to the bytes of ggml's block types, and back, bit for bit.

The blocks are written from the codes and scales that training used, never through a quantizer: ggml's own finds other
scales (its Q4_0 is 8.6 % wrong on ternary weights). Layouts follow ggml-common.h of llama.cpp; numbers are
little-endian. Codes are int8 and scales float32 arrays whose values float16 holds exactly; K, the last dimension of the
codes, is a multiple of the block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]
Scales = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Number = TypeVar("Number", np.int8, np.uint8)

_TQ1_PARTS = ((0, 5, 32), (160, 5, 16), (240, 4, 4))
"""First element, base-3 digits in a byte, number of bytes."""
_TQ2_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(4, 1)


@dataclass(frozen=True)
class BlockType:
    """A ggml type: `block` weights in `n_bytes` bytes, codes from `smallest` to `largest`, one float16 scale a block.

    `pack(codes (..., K), scales (..., K / block))` gives (..., K / block · n_bytes) uint8; `unpack` takes it back.
    """

    name: str
    block: int
    n_bytes: int
    smallest: int
    largest: int
    pack: Callable[[Codes, Scales], Bytes]
    unpack: Callable[[Bytes], tuple[Codes, Scales]]


def _blocks_of(data: npt.NDArray[Number], size: int) -> npt.NDArray[Number]:
    return data.reshape(*data.shape[:-1], -1, size)


def _half_bytes(scales: Scales) -> Bytes:
    """(..., n_blocks) -> (..., n_blocks, 2): float16, little-endian. Overflow to infinity is the caller's mistake."""
    return scales.astype("<f2")[..., None].view(np.uint8)


def _from_half_bytes(data: Bytes) -> Scales:
    return np.ascontiguousarray(data).view("<f2")[..., 0].astype(np.float32)


def _join(parts: list[Bytes]) -> Bytes:
    blocks = np.concatenate(parts, axis=-1)
    return blocks.reshape(*blocks.shape[:-2], -1)


def pack_tq2_0(codes: Codes, scales: Scales) -> Bytes:
    """64 bytes of 2-bit codes + 1, then the scale; byte 32 j + m holds elements 128 j + m + 32 n at bits 2 n."""
    quads = (_blocks_of(codes, 256) + np.int8(1)).astype(np.uint8)
    quads = quads.reshape(*quads.shape[:-1], 2, 4, 32)
    packed = np.bitwise_or.reduce(quads << _TQ2_SHIFTS, axis=-2)
    return _join([packed.reshape(*packed.shape[:-2], 64), _half_bytes(scales)])


def unpack_tq2_0(data: Bytes) -> tuple[Codes, Scales]:
    """The inverse of `pack_tq2_0`; the code that bits 11 stand for, which no ternary model writes, is +2."""
    blocks = _blocks_of(data, 66)
    packed = blocks[..., :64].reshape(*blocks.shape[:-1], 2, 1, 32)
    codes = ((packed >> _TQ2_SHIFTS) & np.uint8(3)).astype(np.int8) - np.int8(1)
    return codes.reshape(*data.shape[:-1], -1), _from_half_bytes(blocks[..., 64:])


def pack_tq1_0(codes: Codes, scales: Scales) -> Bytes:
    """52 bytes of five (the last four of them: four) base-3 digits code + 1 each, then the scale.

    Byte m < 32 holds elements m + 32 n, byte 32 + m (m < 16) elements 160 + m + 16 n, byte 48 + m (m < 4) elements 240 + m
    + 4 n, n = 0 first and weightiest. A number v < 243 is stored as ceil(256 v / 243), from which digits come back by
    multiplying by 3 and taking what flows over.
    """
    trits = (_blocks_of(codes, 256) + np.int8(1)).astype(np.uint16)
    packed = []
    for start, digits, width in _TQ1_PARTS:
        part = trits[..., start : start + digits * width].reshape(*trits.shape[:-1], digits, width)
        places = np.uint16(3) ** np.arange(4, 4 - digits, -1, dtype=np.uint16).reshape(digits, 1)
        number = (part * places).sum(axis=-2, dtype=np.uint16)
        packed.append(((number * np.uint16(256) + np.uint16(242)) // np.uint16(243)).astype(np.uint8))
    return _join([*packed, _half_bytes(scales)])


def unpack_tq1_0(data: Bytes) -> tuple[Codes, Scales]:
    """The inverse of `pack_tq1_0`."""
    blocks = _blocks_of(data, 54)
    codes, at = [], 0
    for _, digits, width in _TQ1_PARTS:
        stored = blocks[..., None, at : at + width]
        places = np.uint8(3) ** np.arange(digits, dtype=np.uint8).reshape(digits, 1)
        trits = ((stored * places).astype(np.uint16) * np.uint16(3)) >> np.uint16(8)
        codes.append(trits.astype(np.int8).reshape(*blocks.shape[:-1], digits * width) - np.int8(1))
        at += width
    return np.concatenate(codes, axis=-1).reshape(*data.shape[:-1], -1), _from_half_bytes(blocks[..., 52:])


def pack_q4_0(codes: Codes, scales: Scales) -> Bytes:
    """The scale, then 16 bytes: code + 8 of element j in the low half of byte j, of element j + 16 in the high half."""
    nibbles = (_blocks_of(codes, 32) + np.int8(8)).astype(np.uint8)
    return _join([_half_bytes(scales), nibbles[..., :16] | (nibbles[..., 16:] << np.uint8(4))])


def unpack_q4_0(data: Bytes) -> tuple[Codes, Scales]:
    """The inverse of `pack_q4_0`."""
    blocks = _blocks_of(data, 18)
    packed = blocks[..., 2:]
    nibbles = np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1)
    codes = nibbles.astype(np.int8) - np.int8(8)
    return codes.reshape(*data.shape[:-1], -1), _from_half_bytes(blocks[..., :2])


def pack_q8_0(codes: Codes, scales: Scales) -> Bytes:
    """The scale, then 32 signed bytes."""
    return _join([_half_bytes(scales), np.ascontiguousarray(_blocks_of(codes, 32)).view(np.uint8)])


def unpack_q8_0(data: Bytes) -> tuple[Codes, Scales]:
    """The inverse of `pack_q8_0`."""
    blocks = _blocks_of(data, 34)
    codes = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
    return codes.reshape(*data.shape[:-1], -1), _from_half_bytes(blocks[..., :2])


TQ1_0 = BlockType("TQ1_0", 256, 54, -1, 1, pack_tq1_0, unpack_tq1_0)
TQ2_0 = BlockType("TQ2_0", 256, 66, -1, 1, pack_tq2_0, unpack_tq2_0)
Q4_0 = BlockType("Q4_0", 32, 18, -8, 7, pack_q4_0, unpack_q4_0)
Q8_0 = BlockType("Q8_0", 32, 34, -128, 127, pack_q8_0, unpack_q8_0)

BLOCK_TYPES = {kind.name: kind for kind in (TQ1_0, TQ2_0, Q4_0, Q8_0)}
"""The smallest first."""
