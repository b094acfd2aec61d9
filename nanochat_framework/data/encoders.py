"""The libraries that turn text into ids, and which of them is fastest here.

All start from the same `tokenizer.json` and give the same ids; tests and every choice made here hold them to that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from nanochat_framework.data.vocabulary import LLAMA3_PATTERN
from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.data.tokenizer import Tokenizer

Encode = Callable[[str], np.ndarray]
"""Valid text -> (n,) uint32 ids, never special ones; may be called from several threads."""

TRICKY = (
    "it's 12345 o'clock, naïve DON'T\r\n\r\n \t x\n\n  y  \u00a0\u2003z",
    "日本語テキスト🙂👩‍👩‍👧 é é ß İı ſ 'ſ ǅ\u3000\u0085\u200b",
    "<|bos|><|im_start|>user\n<tool_call>{}</tool_call><|spare_3|>",
    "a" * 300 + " " * 300 + "\n" * 40 + "=" * 100 + "0" * 50 + "\x00\x01\x7f",
)


@dataclass(frozen=True)
class Encoder:
    """An encoder by name."""

    name: str
    encode: Encode


def _gigatoken(tokenizer: Tokenizer) -> Encode:
    import gigatoken

    if any(not token["special"] for token in tokenizer.definition["added_tokens"]):
        raise ValueError("the vocabulary has added tokens that are text")
    plain = {**tokenizer.encoding_definition, "added_tokens": []}  # spelled-out special tokens are plain text
    encode: Encode = gigatoken.Tokenizer.from_json(json.dumps(plain)).encode
    return encode


def _tiktoken(tokenizer: Tokenizer) -> Encode:
    import tiktoken

    if not tokenizer.ranks_are_ids:
        raise ValueError("the vocabulary's ids are not in the order of its merges")
    ranks = {data: number for number in range(tokenizer.vocab_size) if (data := tokenizer.token_bytes(number))}
    encoding = tiktoken.Encoding(name="nanochat", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens={})
    reference = _tokenizers(tokenizer)

    def encode(text: str) -> np.ndarray:
        if len(text) > _SPACE_LIMIT and _ENDLESS_SPACE.search(text):
            return reference(text)
        return np.array(encoding.encode_ordinary(text), dtype=np.uint32)

    return encode


_SPACE_LIMIT = 500_000
_ENDLESS_SPACE = re.compile(rf"\s{{{_SPACE_LIMIT}}}")
"""White space of this many characters in a row: tiktoken's regular expressions overflow their stack at a million."""


def _tokenizers(tokenizer: Tokenizer) -> Encode:
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(json.dumps(tokenizer.encoding_definition))
    backend.encode_special_tokens = True  # spelled-out special tokens are plain text
    return lambda text: np.array(backend.encode(text, add_special_tokens=False).ids, dtype=np.uint32)


ENCODERS: dict[str, Callable[[Tokenizer], Encode]] = {
    "gigatoken": _gigatoken,
    "tiktoken": _tiktoken,
    "tokenizers": _tokenizers,
}
"""By the speed that they usually have. `tokenizers`, which also trains, is the reference."""


def build_encoder(name: str, tokenizer: Tokenizer) -> Encoder:
    """One encoder. Raises UsageError if it is unknown, not installed, or cannot carry this vocabulary."""
    if name not in ENCODERS:
        raise UsageError(f"there is no encoder {name!r}; these are known: {', '.join(ENCODERS)}")
    try:
        return Encoder(name, ENCODERS[name](tokenizer))
    except ImportError:
        extra = " (pip install 'nanochat-framework[data]')" if name == "gigatoken" else ""
        raise UsageError(f"encoder {name} is not installed{extra}") from None
    except Exception as error:  # whatever a library says of a vocabulary that it does not take
        raise UsageError(f"encoder {name} does not take this vocabulary ({error})") from None


def default_encoder(tokenizer: Tokenizer) -> Encoder:
    """What is quick to build and sure to be there: tiktoken, else tokenizers."""
    try:
        return build_encoder("tiktoken", tokenizer)
    except UsageError:
        return build_encoder("tokenizers", tokenizer)


@dataclass(frozen=True)
class Choice:
    """The encoder taken, and what was measured: MB/s on one thread by name, or why one is out of the race."""

    encoder: Encoder
    speeds: dict[str, float]
    left_out: dict[str, str]


def fastest_encoder(tokenizer: Tokenizer, sample: str) -> Choice:
    """Measure the encoders on a sample of the user's text; one whose ids differ from the reference's is left out.

    The reference, many times slower, reads only the sample's beginning.
    """
    size = len(sample.encode("utf-8", "replace")) / 1e6
    reference = build_encoder("tokenizers", tokenizer)
    checked = [*TRICKY, sample[: len(sample) // 8]]
    started = perf_counter()
    expected = [reference.encode(text) for text in checked]
    slowest = sum(len(text.encode()) for text in checked) / 1e6 / max(perf_counter() - started, 1e-9)
    speeds, left_out, best = {reference.name: slowest}, {}, reference
    for name in ENCODERS:
        if name == reference.name:
            continue
        try:
            encoder = build_encoder(name, tokenizer)
        except UsageError as error:
            left_out[name] = str(error)
            continue
        if not all(np.array_equal(encoder.encode(text), ids) for text, ids in zip(checked, expected, strict=True)):
            left_out[name] = f"encoder {name} gives other ids than {reference.name} on this text"
            continue
        started = perf_counter()
        encoder.encode(sample)
        speeds[name] = size / max(perf_counter() - started, 1e-9)
        if speeds[name] > speeds[best.name]:
            best = encoder
    return Choice(best, speeds, left_out)
