"""Byte-level BPE that returns every byte string unchanged.

The artefact is a `tokenizer.json` as Hugging Face's `tokenizers` writes it. In ours, text is split by the Llama-3 pattern,
which GGUF knows as `llama-bpe`; vocabularies of imported models keep their own (foreign_vocabulary.py). Several libraries
can encode with it (encoders.py). Bytes that are not UTF-8 become single-byte tokens between the valid stretches around
them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nanochat_framework.data.encoders import Encoder, default_encoder
from nanochat_framework.data.tokenizer_file import is_ours, read_vocabulary, train_definition
from nanochat_framework.data.vocabulary import SPELLED
from nanochat_framework.errors import UsageError
from nanochat_framework.machine.reading import read_named


class Tokenizer:
    """A vocabulary with its merges. In ours, ids 0 .. 32 are special tokens, then come bytes, then merges."""

    def __init__(self, definition: dict[str, Any], *, origin: str = "tokenizer") -> None:
        """Take a parsed `tokenizer.json`. Raises UsageError, naming `origin`, if it cannot be used (`read_vocabulary`)."""
        vocabulary = read_vocabulary(definition, origin)
        self.definition = definition
        self.tokens, self.merges = vocabulary.tokens, vocabulary.merges
        self.ranks_are_ids, self.split = vocabulary.ranks_are_ids, vocabulary.split
        self.special_ids = vocabulary.special
        """Special tokens, text -> id."""
        self.vocab_size = len(self.tokens)
        self._bytes = vocabulary.token_bytes
        self.bos_id, self.eos_id, self.pad_id = vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id
        self.start_ids, self.end_ids = vocabulary.start_ids, vocabulary.end_ids
        """What a document begins with (bos, or nothing), and the ids at which a generation ends."""
        self.is_ours = is_ours(definition)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Train on texts. The vocabulary is smaller than asked for if the texts have too few pairs to merge.

        Raises UsageError if vocab_size leaves no room for special tokens and bytes.
        """
        return cls(train_definition(texts, vocab_size))

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """Read a `tokenizer.json`. Raises UsageError if it cannot be read or used."""
        try:
            definition = json.loads(read_named(Path(path)).decode("utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: not a tokenizer.json ({error})") from None
        if not isinstance(definition, dict):
            raise UsageError(f"{path}: not a tokenizer.json")
        return cls(definition, origin=str(path))

    @property
    def encoding_definition(self) -> dict[str, Any]:
        """What encoders are built from: text is not changed, and nothing is added to its ids."""
        return {**self.definition, "normalizer": None, "post_processor": None, "truncation": None, "padding": None}

    def to_json(self) -> str:
        """The text of `tokenizer.json`."""
        return json.dumps(self.definition, ensure_ascii=False, indent=1) + "\n"

    def special(self, name: str) -> int:
        """Id of a special token. Raises KeyError if there is none of that name."""
        return self.special_ids[name]

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of a text or of any bytes; never a special token, however the text is spelled."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_array(self, text: str | bytes, encoder: Encoder | None = None) -> np.ndarray:
        """(n,) uint32: the same as an array, by an encoder of choice."""
        encode = (encoder or self._encoder).encode
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        try:
            return encode(data.decode("utf-8"))
        except UnicodeDecodeError:
            parts = [encode(part) if isinstance(part, str) else self._byte_ids[list(part)] for part in _stretches(data)]
            return np.concatenate(parts)

    @cached_property
    def _encoder(self) -> Encoder:
        return default_encoder(self)

    @cached_property
    def _byte_ids(self) -> np.ndarray:
        number_of = {text: number for number, text in enumerate(self.tokens)}
        return np.array([number_of[SPELLED[byte]] for byte in range(256)], dtype=np.uint32)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for; special tokens, and ids past the vocabulary, stand for none."""
        table, size = self._bytes, self.vocab_size
        return b"".join(table[number] for number in map(int, ids) if number < size)

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for, with U+FFFD for bytes that are not UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Bytes of one token; b"" for special tokens."""
        return self._bytes[token]

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """(vocab_size,) int64: bytes of text of each token, 0 for special ones."""
        return np.array([len(data) for data in self._bytes], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the vocabulary and merges (of foreign ones also of how they split and end), whatever the layout."""
        what: list[Any] = [self.tokens, [list(pair) for pair in self.merges]]
        if not self.is_ours:
            what += [self.definition.get("pre_tokenizer"), self.special_ids, self.start_ids, sorted(self.end_ids)]
        canonical = json.dumps(what, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


_STRETCH = re.compile("[\udc80-\udcff]+|[^\udc80-\udcff]+")


def _stretches(data: bytes) -> Iterator[str | bytes]:
    """Cut bytes into stretches of valid UTF-8 (as text) and of bytes that belong to no character (as bytes)."""
    text = data.decode("utf-8", "surrogateescape")  # a byte that is not UTF-8 becomes a lone surrogate
    for match in _STRETCH.finditer(text):
        stretch = match.group()
        yield stretch.encode("utf-8", "surrogateescape") if "\udc80" <= stretch[0] <= "\udcff" else stretch
