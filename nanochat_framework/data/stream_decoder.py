"""Ids in, text out, never half a character."""

from __future__ import annotations

import codecs

from nanochat_framework.data.tokenizer import Tokenizer


class StreamDecoder:
    """Decodes a stream of ids as they come; bytes of an unfinished UTF-8 character wait for the rest."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that this token completes; may be empty."""
        return self._decoder.decode(self._tokenizer.decode_bytes([token]))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character."""
        return self._decoder.decode(b"", final=True)
