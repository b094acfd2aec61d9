"""Blocks of rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.kernels import blocks


@given(st.integers(0, 50), st.integers(1, 400), st.integers(1, 500))
def test_blocks_are_all_rows_in_order_and_small_enough(rows: int, columns: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ELEMENTS", limit)
        matrix = torch.empty(rows, columns)
        slices = list(blocks.row_blocks(matrix))
        assert blocks.fits_one_block(matrix) == (rows * columns <= limit)
        assert len(slices) <= 1 or rows * columns > limit
    assert [row for block in slices for row in range(rows)[block]] == list(range(rows))
    assert all((block.stop - block.start) * columns <= max(limit, columns) for block in slices)


def test_another_device_gets_one_block() -> None:
    matrix = torch.empty(2**12, 2**12, device="meta")
    assert list(blocks.row_blocks(matrix)) == [slice(0, 2**12)]
    assert blocks.fits_one_block(matrix)
