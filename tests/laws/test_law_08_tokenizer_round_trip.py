"""Law 8: the tokenizer returns every byte string unchanged: newlines, tabs, CRLF, bytes that are not UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanochat_framework.data.special_tokens import FIRST_BYTE_ID, SPECIAL_TOKENS
from nanochat_framework.data.stream_decoder import StreamDecoder
from nanochat_framework.data.tokenizer import Tokenizer

TEXTS = [
    "def main():\n\treturn 'naïve'  # déjà vu 12345\r\n\r\n",
    "for i in range(10):\n    print(i)\n\n",
    "日本語 🙂 é",
] * 20
TOKENIZER = Tokenizer.train(TEXTS, 340)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
@example(b"\r\n\t \x00\xff\xfe\xe2\x82")
@example(b"\xed\xb2\x80 lone surrogate bytes")
@example(b"<|eos|><|im_end|>")
@example(b"")
def test_any_bytes_come_back(data: bytes) -> None:
    ids = TOKENIZER.encode(data)
    assert TOKENIZER.decode_bytes(ids) == data
    assert all(number >= FIRST_BYTE_ID for number in ids), "text never becomes a special token"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_a_stream_shows_whole_characters_only(text: str) -> None:
    decoder = StreamDecoder(TOKENIZER)
    pieces = [decoder.push(number) for number in TOKENIZER.encode(text)]
    assert "".join(pieces) + decoder.flush() == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@pytest.mark.parametrize("name", SPECIAL_TOKENS)
def test_spelling_a_special_token_is_plain_text(name: str) -> None:
    ids = TOKENIZER.encode(f"a {name} b")
    assert TOKENIZER.special(name) not in ids
    assert TOKENIZER.decode(ids) == f"a {name} b"
