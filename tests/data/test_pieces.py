"""Pieces lose no byte, stay within their bounds, and are cut where no token crosses."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanochat_framework.data.encoders import build_encoder
from nanochat_framework.data.pieces import PIECE_BYTES, pieces
from tests.laws.test_law_08_tokenizer_round_trip import TOKENIZER

REFERENCE = build_encoder("tokenizers", TOKENIZER)
LINES = st.text(alphabet="ab Z9'sé\n\r\t .,#_(\u00a0\u2003\u3000日語のß", max_size=120)


@settings(max_examples=300, deadline=None)
@given(LINES, st.integers(2, 20))
@example("word\n\u3000ideographic space after a line end", 3)
@example("a\n\n  b\n \n c", 2)
def test_ids_of_pieces_are_ids_of_the_whole(text: str, target: int) -> None:
    cut = list(pieces(text.encode(), target=target, longest=10_000))
    assert b"".join(cut) == text.encode()
    expected = REFERENCE.encode(text).tolist()
    assert [number for piece in cut for number in TOKENIZER.encode(piece)] == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40), st.integers(0, 40))
def test_any_bytes_within_the_bounds(data: bytes, target: int, more: int) -> None:
    cut = list(pieces(data, target=target, longest=target + more))
    assert b"".join(cut) == data
    assert all(0 < len(piece) <= target + more for piece in cut)
    done = sum(map(len, cut[: len(cut) // 2]))
    assert list(pieces(data, start=done, target=target, longest=target + more)) == cut[len(cut) // 2 :]


def test_an_unbroken_line_is_cut_between_characters() -> None:
    cut = list(pieces("語".encode() * 100, target=10, longest=40))
    assert "".join(piece.decode() for piece in cut) == "語" * 100
    assert len(cut) > 5


@pytest.mark.parametrize("unit", ["a line of words\n", "words without any line end "])
def test_ordinary_text_is_cut_at_the_target(unit: str) -> None:
    cut = list(pieces(unit.encode() * 100_000))
    assert all(PIECE_BYTES - 100 < len(piece) <= PIECE_BYTES for piece in cut[:-1])
