"""What a tokenizer is worth: bytes of text per token, beside others', and the proof that it loses nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.data.encoders import TRICKY
from nanochat_framework.data.reference_tokenizers import ReferenceTokenizer
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError

RANDOM_STRINGS = 2000
_LONGEST_RANDOM = 200


@dataclass(frozen=True)
class Row:
    """One tokenizer: bytes per token by text and over all, and whether every text comes back as it was."""

    name: str
    vocab_size: int
    bytes_per_token: dict[str, float]
    overall: float
    round_trip: bool


def evaluate(
    tokenizer: Tokenizer, name: str, references: Sequence[ReferenceTokenizer], texts: Mapping[str, str]
) -> list[Row]:
    """A row for the tokenizer, then one for each reference."""
    own = ReferenceTokenizer(name, tokenizer.vocab_size, tokenizer.encode, tokenizer.decode)
    return [_row(one, texts) for one in (own, *references)]


def _row(tokenizer: ReferenceTokenizer, texts: Mapping[str, str]) -> Row:
    ratios, n_bytes, n_tokens, whole = {}, 0, 0, True
    for kind, text in texts.items():
        ids = tokenizer.encode(text)
        size = len(text.encode())
        ratios[kind] = size / max(len(ids), 1)
        n_bytes += size
        n_tokens += len(ids)
        whole = whole and tokenizer.decode(ids) == text
    return Row(tokenizer.name, tokenizer.vocab_size, ratios, n_bytes / max(n_tokens, 1), whole)


def lost_bytes(tokenizer: Tokenizer, texts: Mapping[str, str], *, seed: int = 0) -> bytes | None:
    """The first byte string that does not come back, None if all do: the texts, tricky ones, and random bytes.

    Random strings are up to 200 bytes long; half of them are of all bytes, half of bytes that begin, go on with or break
    UTF-8 characters.
    """
    generator = random.Random(seed)
    pieces = [
        b"\xe6\x97\xa5",
        b"\xf0\x9f",
        b"\x80",
        b"\xff",
        b"\xc3",
        b" ",
        b"\r\n",
        b"\t",
        b"a",
        b"'s",
        b"12",
        b"\x00",
    ]
    strings = [text.encode() for text in (*texts.values(), *TRICKY)]
    for number in range(RANDOM_STRINGS):
        length = generator.randrange(_LONGEST_RANDOM)
        strings.append(
            generator.randbytes(length) if number % 2 else b"".join(generator.choices(pieces, k=length // 2))
        )
    return next((data for data in strings if tokenizer.decode_bytes(tokenizer.encode(data)) != data), None)


def read_texts(paths: Sequence[Path], most_bytes: int) -> dict[str, str]:
    """Files by name, the first `most_bytes` of each; bytes that are not UTF-8 are replaced. Raises UsageError."""
    texts = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                texts[str(path)] = file.read(most_bytes).decode("utf-8", "replace")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
    return texts
