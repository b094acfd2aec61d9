"""Every encoder gives the ids that `tokenizers`, which trained the vocabulary, gives."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanochat_framework.data import encoders
from nanochat_framework.data.encoders import ENCODERS, TRICKY, build_encoder, fastest_encoder
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from tests.laws.test_law_08_tokenizer_round_trip import TEXTS, TOKENIZER

RICH = Tokenizer.train([*TEXTS, *TRICKY, "def f(self, x):\n        return self.x + 10 == x  # it's\n" * 5], 900)
REFERENCE = build_encoder("tokenizers", RICH)
LIKE_CODE = st.lists(
    st.sampled_from(
        ["def ", "self", ".", "  ", "\n", "\r\n", "\t", "it's", "100", "é", "日本", "🙂", "==", "X", " x", "\u00a0"]
    )
).map("".join)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "tokenizers"])
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), LIKE_CODE))
@example("".join(TRICKY))
@example(" " * 70_000 + "x")
def test_equal_ids(name: str, text: str) -> None:
    pytest.importorskip(name)
    np.testing.assert_array_equal(build_encoder(name, RICH).encode(text), REFERENCE.encode(text))


@pytest.mark.parametrize("name", ENCODERS)
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_come_back_through_each(name: str, data: bytes) -> None:
    pytest.importorskip(name)
    assert RICH.decode_bytes(RICH.encode_array(data, build_encoder(name, RICH))) == data


@pytest.mark.slow
def test_a_million_spaces() -> None:
    text = "x" + " " * 1_000_000 + "x"
    np.testing.assert_array_equal(RICH.encode_array(text), REFERENCE.encode(text))


def test_the_fastest_is_measured() -> None:
    choice = fastest_encoder(RICH, "".join(TEXTS) * 10)
    assert choice.speeds[choice.encoder.name] == max(choice.speeds.values())
    assert set(choice.speeds) | set(choice.left_out) == set(ENCODERS)
    assert "tokenizers" in choice.speeds


def test_one_that_is_wrong_or_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(tokenizer: Tokenizer) -> encoders.Encode:
        right = build_encoder("tokenizers", tokenizer)
        return replace(right, encode=lambda text: right.encode(text)[::-1]).encode

    monkeypatch.setitem(ENCODERS, "tiktoken", wrong)
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    choice = fastest_encoder(TOKENIZER, "".join(TEXTS))
    assert choice.encoder.name == "tokenizers"
    assert "other ids" in choice.left_out["tiktoken"]
    assert "pip install 'nanochat-framework[data]'" in choice.left_out["gigatoken"]


def test_forcing_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    for name, message in (("gigatoken", "not installed"), ("nonsense", "these are known: gigatoken")):
        with pytest.raises(UsageError, match=message):
            build_encoder(name, TOKENIZER)
