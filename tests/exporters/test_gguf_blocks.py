"""Block types: bit-exact round trips, and agreement with the gguf package and with ggml's documented layouts."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf.blocks import BLOCK_TYPES, Q4_0, Q8_0, TQ1_0, TQ2_0, BlockType, Codes, Scales

KINDS = st.sampled_from(list(BLOCK_TYPES.values()))


@st.composite
def weights(draw: st.DrawFn) -> tuple[BlockType, Codes, Scales]:
    """A block type with codes it can hold and finite float16 scales of any size and sign, subnormal ones too."""
    kind = draw(KINDS)
    rows, n_blocks = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = rng.integers(kind.smallest, kind.largest + 1, (rows, n_blocks * kind.block)).astype(np.int8)
    halves = rng.integers(0, 0x7C00, (rows, n_blocks)).astype(np.uint16) | (
        rng.integers(0, 2, (rows, n_blocks)).astype(np.uint16) << np.uint16(15)
    )
    return kind, codes, halves.view(np.float16).astype(np.float32)


def _values(kind: BlockType, codes: Codes, scales: Scales) -> npt.NDArray[np.float32]:
    return codes.astype(np.float32) * np.repeat(scales, kind.block, axis=-1)


@given(weights())
@settings(max_examples=100, deadline=None)
def test_unpacking_gives_back_every_bit(case: tuple[BlockType, Codes, Scales]) -> None:
    kind, codes, scales = case
    data = kind.pack(codes, scales)
    assert data.dtype == np.uint8 and data.shape == (codes.shape[0], scales.shape[1] * kind.n_bytes)
    codes_again, scales_again = kind.unpack(data)
    np.testing.assert_array_equal(codes_again, codes)
    np.testing.assert_array_equal(scales_again.view(np.uint32), scales.view(np.uint32))


@given(weights())
@settings(max_examples=100, deadline=None)
def test_the_gguf_package_decodes_the_same_values(case: tuple[BlockType, Codes, Scales]) -> None:
    kind, codes, scales = case
    decoded = gguf.quants.dequantize(kind.pack(codes, scales), gguf.GGMLQuantizationType[kind.name])
    np.testing.assert_array_equal(decoded, _values(kind, codes, scales))


@pytest.mark.parametrize("kind", [TQ1_0, TQ2_0], ids=lambda kind: kind.name)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_ternary_bytes_are_those_the_gguf_package_writes(kind: BlockType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 2, (2, 768)).astype(np.int8)
    codes[:, ::256] = 1  # a block of zeros would leave the package no scale to find
    scales = rng.uniform(1e-3, 10, (2, 3)).astype(np.float16).astype(np.float32)
    written = gguf.quants.quantize(_values(kind, codes, scales), gguf.GGMLQuantizationType[kind.name])
    np.testing.assert_array_equal(kind.pack(codes, scales), written)


def test_sizes_are_ggmls() -> None:
    for kind in BLOCK_TYPES.values():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind.name]] == (kind.block, kind.n_bytes)


def test_tq2_0_layout_by_hand() -> None:
    codes = np.zeros((1, 256), dtype=np.int8)
    codes[0, [0, 32, 64, 96]] = [1, -1, 0, 1]  # byte 0: element 0, 32, 64, 96 at bits 0, 2, 4, 6
    codes[0, 128 + 5] = -1  # byte 32 + 5
    data = TQ2_0.pack(codes, np.array([[1.0]], dtype=np.float32))[0]
    assert data[0] == 0b10_01_00_10
    assert data[37] == 0b01_01_01_00
    assert data[1] == 0b01_01_01_01
    assert bytes(data[64:]) == b"\x00\x3c"


def test_q4_0_layout_by_hand() -> None:
    codes = np.zeros((1, 32), dtype=np.int8)
    codes[0, 0], codes[0, 16] = 1, -1
    data = Q4_0.pack(codes, np.array([[-2.0]], dtype=np.float32))[0]
    assert bytes(data[:2]) == b"\x00\xc0"
    assert data[2] == 0x79 and data[3] == 0x88


def test_q8_0_layout_by_hand() -> None:
    codes = np.arange(-16, 16, dtype=np.int8)[None]
    data = Q8_0.pack(codes, np.array([[0.5]], dtype=np.float32))[0]
    assert bytes(data) == b"\x00\x38" + codes.tobytes()


@pytest.mark.parametrize("kind", BLOCK_TYPES.values(), ids=BLOCK_TYPES)
def test_leading_dimensions_are_kept(kind: BlockType) -> None:
    codes = np.zeros((2, 3, 4, kind.block), dtype=np.int8)
    scales = np.ones((2, 3, 4, 1), dtype=np.float32)
    data = kind.pack(codes, scales)
    assert data.shape == (2, 3, 4, kind.n_bytes)
    assert [part.shape for part in kind.unpack(data)] == [codes.shape, scales.shape]
