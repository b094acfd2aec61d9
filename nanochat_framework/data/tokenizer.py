"""Byte-level BPE that returns every byte string unchanged.

The artefact is a `tokenizer.json` as Hugging Face's `tokenizers` writes it. Text is split by the Llama-3 pattern, which
GGUF knows as `llama-bpe`. Encoding runs through tiktoken, built from the same merges (about six times the speed on one
core), or through `tokenizers` where tiktoken is missing; tests hold the two to equal ids. Bytes that are not UTF-8
become single-byte tokens between the valid stretches around them.
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

from nanochat_framework.data.special_tokens import BOS, EOS, PAD, SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.errors import UsageError

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZER_NAME = "llama-bpe"
"""GGUF's name of the split pattern."""


def byte_alphabet() -> dict[int, str]:
    """GPT-2's spelling of bytes as printable characters: byte -> character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {byte: chr(byte) for byte in printable}
    for number, byte in enumerate(byte for byte in range(256) if byte not in spelled):
        spelled[byte] = chr(256 + number)
    return spelled


_SPELLED = byte_alphabet()
_BYTE_OF = {character: byte for byte, character in _SPELLED.items()}


class Tokenizer:
    """A vocabulary with its merges. Ids 0 .. 32 are special tokens, then bytes, then merges."""

    def __init__(self, definition: dict[str, Any], *, origin: str = "tokenizer") -> None:
        """Take a parsed `tokenizer.json`. Raises UsageError, naming `origin`, if it is not one of ours."""
        self.definition = definition
        try:
            model = definition["model"]
            self._ids: dict[str, int] = dict(model["vocab"])
            self.merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
            added = {token["content"]: int(token["id"]) for token in definition["added_tokens"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{origin}: not a tokenizer.json of a BPE model ({error!r})") from None
        self._ids.update(added)
        self._check(origin, added)
        self.vocab_size = len(self._ids)
        self.tokens = [text for text, _ in sorted(self._ids.items(), key=lambda item: item[1])]
        special = set(SPECIAL_TOKENS)
        self._bytes = [b"" if text in special else bytes(_BYTE_OF[c] for c in text) for text in self.tokens]
        self.bos_id, self.eos_id, self.pad_id = self.special(BOS), self.special(EOS), self.special(PAD)

    def _check(self, origin: str, added: dict[str, int]) -> None:
        if sorted(self._ids.values()) != list(range(len(self._ids))):
            raise UsageError(f"{origin}: its ids are not 0 to {len(self._ids) - 1} without gaps")
        if any(added.get(text) != number for number, text in enumerate(SPECIAL_TOKENS)):
            raise UsageError(
                f"{origin}: its first ids are not the reserved special tokens; train one with prepare-data"
            )
        odd = next((t for t in self._ids if t not in added and any(c not in _BYTE_OF for c in t)), None)
        missing = next((byte for byte in range(256) if _SPELLED[byte] not in self._ids), None)
        if odd is not None or missing is not None:
            what = f"token {odd!r} is not spelled in bytes" if odd is not None else f"byte {missing} has no token"
            raise UsageError(f"{origin}: not a byte-level vocabulary ({what})")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Train on texts. The vocabulary is smaller than asked for if the texts have too few pairs to merge.

        Raises UsageError if vocab_size leaves no room for special tokens and bytes.
        """
        if vocab_size < SMALLEST_VOCABULARY:
            raise UsageError(f"a vocabulary needs at least {SMALLEST_VOCABULARY} tokens (special tokens and bytes)")
        from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
        from tokenizers import Tokenizer as Backend

        backend = Backend(models.BPE(ignore_merges=False))
        split = pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(_BYTE_OF),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(json.loads(backend.to_str()))

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """Read a `tokenizer.json`. Raises UsageError if it cannot be read or is foreign."""
        try:
            definition = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: not a tokenizer.json ({error})") from None
        if not isinstance(definition, dict):
            raise UsageError(f"{path}: not a tokenizer.json")
        return cls(definition, origin=str(path))

    def to_json(self) -> str:
        """The text of `tokenizer.json`."""
        return json.dumps(self.definition, ensure_ascii=False, indent=1) + "\n"

    def special(self, name: str) -> int:
        """Id of a special token. Raises KeyError if there is none of that name."""
        if name not in SPECIAL_TOKENS:
            raise KeyError(name)
        return self._ids[name]

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of a text or of any bytes; never a special token, however the text is spelled."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        ids: list[int] = []
        for stretch in _stretches(data):
            if isinstance(stretch, str):
                ids += self._encode_valid(stretch)
            else:
                ids += [self._byte_ids[byte] for byte in stretch]
        return ids

    def _encode_valid(self, text: str) -> list[int]:
        if self._tiktoken is not None:
            ids: list[int] = self._tiktoken.encode_ordinary(text)
            return ids
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    @cached_property
    def _byte_ids(self) -> list[int]:
        return [self._ids[_SPELLED[byte]] for byte in range(256)]

    @cached_property
    def _tiktoken(self) -> Any:
        try:
            import tiktoken
        except ImportError:
            return None
        ranks = {data: number for number, data in enumerate(self._bytes) if data}
        if len(ranks) + len(SPECIAL_TOKENS) != self.vocab_size:
            return None  # two tokens of equal bytes: ranks cannot tell them apart
        return tiktoken.Encoding(
            name=f"nanochat-{self.fingerprint[:8]}", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens={}
        )

    @cached_property
    def _backend(self) -> Any:
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_str(self.to_json())
        backend.encode_special_tokens = True  # spelled-out special tokens are plain text
        return backend

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
        """sha256 of the vocabulary and merges, whatever the file's layout."""
        canonical = json.dumps([self.tokens, [list(pair) for pair in self.merges]], ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


_STRETCH = re.compile("[\udc80-\udcff]+|[^\udc80-\udcff]+")


def _stretches(data: bytes) -> Iterator[str | bytes]:
    """Cut bytes into stretches of valid UTF-8 (as text) and of bytes that belong to no character (as bytes)."""
    text = data.decode("utf-8", "surrogateescape")  # a byte that is not UTF-8 becomes a lone surrogate
    for match in _STRETCH.finditer(text):
        stretch = match.group()
        yield stretch.encode("utf-8", "surrogateescape") if "\udc80" <= stretch[0] <= "\udcff" else stretch
