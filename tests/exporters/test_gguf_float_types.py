"""Types that float tensors are rounded to: against the gguf package's decoders and ggml's own quantizer."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf.float_types import FLOAT_TYPES
from nanochat_exporters.gguf.q6_k import quantize_q6_k
from nanochat_exporters.gguf.storage import store_float
from nanochat_framework.errors import UsageError

Floats = npt.NDArray[np.float32]
LARGEST_ERROR = {"F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 1 / 220, "Q6_K": 1 / 30, "Q4_0": 1 / 7}
"""Largest error of a value, as a share of the largest magnitude in its block of 32 (256 for Q6_K)."""
LARGEST_CODE = {"F32": 0, "F16": 1, "BF16": 0, "Q8_0": 127, "Q6_K": 32 * 128, "Q4_0": 8}
"""What multiplies the block's float16, whose smallest step is 2**-24."""


@st.composite
def rows(draw: st.DrawFn) -> Floats:
    """(rows, 256 or 512): normal, heavy-tailed, sparse or constant, of sizes far apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 3)), 256 * draw(st.integers(1, 2)))
    kind = draw(st.sampled_from(["normal", "heavy", "sparse", "constant"]))
    values = {
        "normal": lambda: rng.normal(size=shape),
        "heavy": lambda: np.clip(rng.standard_t(2, size=shape), -100, 100),
        "sparse": lambda: rng.normal(size=shape) * (rng.random(shape) < 0.1),
        "constant": lambda: np.full(shape, rng.normal()),
    }[kind]()
    return (values * 10.0 ** draw(st.integers(-3, 2))).astype(np.float32)


def decoded(name: str, values: Floats) -> Floats:
    """What the gguf package makes of the stored tensor."""
    stored = store_float("w", torch.from_numpy(values), name)
    return np.asarray(gguf.quants.dequantize(stored.data, gguf.GGMLQuantizationType[name]), dtype=np.float32)


@pytest.mark.parametrize("name", FLOAT_TYPES)
@given(values=rows())
@settings(max_examples=40, deadline=None)
def test_errors_are_within_the_types_step(name: str, values: Floats) -> None:
    back = decoded(name, values)
    assert np.array_equal(FLOAT_TYPES[name].round(torch.from_numpy(values)).numpy(), back)
    block = 256 if name == "Q6_K" else 32
    errors, sizes = (np.abs(x).reshape(-1, block).max(axis=1) for x in (back - values, values))
    assert (errors <= LARGEST_ERROR[name] * sizes + LARGEST_CODE[name] * 2**-25).all()


def ggml_q6_k(values: Floats) -> npt.NDArray[np.uint8]:
    """`quantize_row_q6_K_ref` of the llama.cpp in the xllamacpp wheel."""
    xllamacpp: Any = pytest.importorskip("xllamacpp", reason="ggml's own quantizer is in the xllamacpp wheel")
    libraries = sorted(Path(xllamacpp.__file__).parent.glob("*.so"))
    if not libraries or not hasattr(library := ctypes.CDLL(str(libraries[0])), "quantize_row_q6_K_ref"):
        pytest.skip("this build of xllamacpp shows no quantizer")
    out = np.zeros((values.shape[0], values.shape[1] // 256 * 210), dtype=np.uint8)
    library.quantize_row_q6_K_ref(
        ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(values.size)
    )
    return out


@pytest.mark.parametrize("spread", [0.02, 1.0, 50.0])
def test_q6_k_is_as_good_as_ggmls(spread: float) -> None:
    """Bytes differ where candidates tie, because sums are made in another order; errors do not."""
    values = (np.random.default_rng(0).normal(size=(64, 1024)) * spread).astype(np.float32)
    ours, theirs = quantize_q6_k(values), ggml_q6_k(values)
    assert ours.shape == theirs.shape
    assert (ours.reshape(-1, 210) == theirs.reshape(-1, 210)).all(axis=1).mean() > 0.9
    kind = gguf.GGMLQuantizationType.Q6_K
    errors = [float(np.square(gguf.quants.dequantize(data, kind) - values).sum()) for data in (ours, theirs)]
    assert errors[0] <= 1.005 * errors[1]


def test_q6_k_of_nothing_is_nothing() -> None:
    values = np.zeros((2, 256), dtype=np.float32)
    values[1, :16] = 1
    np.testing.assert_allclose(decoded("Q6_K", values), values, atol=0.02)
    assert not decoded("Q6_K", values)[0].any()


@pytest.mark.parametrize("name", ["F16", "Q8_0", "Q6_K", "Q4_0"])
def test_values_beyond_the_range_are_refused(name: str) -> None:
    for bad in (1e12, float("nan"), float("inf")):
        values = torch.full((1, 256), bad)
        with pytest.raises(UsageError, match=f"w: has values of .*beyond the range of {name}; store it as f32"):
            store_float("w", values, name)
    reach = torch.full((1, 256), FLOAT_TYPES[name].reach * 0.99)
    assert torch.isfinite(FLOAT_TYPES[name].round(reach)).all()
