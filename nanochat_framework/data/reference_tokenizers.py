"""Tokenizers of others, from what lies on this machine: a tokenizer.json, a GGUF file, tiktoken's cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanochat_framework.data.vocabulary import LLAMA3_PATTERN
from nanochat_framework.errors import UsageError

_QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
_GGUF_PATTERNS = {"llama-bpe": LLAMA3_PATTERN, "llama3": LLAMA3_PATTERN, "qwen2": _QWEN2_PATTERN, "gpt-2": None}
"""`tokenizer.ggml.pre` -> split pattern as llama.cpp has it; None is the one built into `tokenizers`."""

_AZURE = "https://openaipublic.blob.core.windows.net"
_TIKTOKEN_FILES = {
    "gpt2": (f"{_AZURE}/gpt-2/encodings/main/vocab.bpe", f"{_AZURE}/gpt-2/encodings/main/encoder.json"),
    "cl100k_base": (f"{_AZURE}/encodings/cl100k_base.tiktoken",),
    "o200k_base": (f"{_AZURE}/encodings/o200k_base.tiktoken",),
}
"""What tiktoken would download for an encoding; its cache names files by the hash of the address."""


@dataclass(frozen=True)
class ReferenceTokenizer:
    """Somebody's tokenizer: `encode` text to ids without special tokens, `decode` ids to text."""

    name: str
    vocab_size: int
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]


def load_reference(path: Path) -> ReferenceTokenizer:
    """A tokenizer.json of any kind, or a GGUF file with a byte-level BPE. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if path.suffix == ".gguf":
        return _from_gguf(path)
    from tokenizers import Tokenizer as Backend

    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise UsageError(f"{path}: not a tokenizer.json ({error})") from None
    return _of_backend(str(path), backend)


def cached_references() -> list[ReferenceTokenizer]:
    """tiktoken's encodings whose files are in its cache already; nothing is downloaded."""
    try:
        import tiktoken
    except ImportError:
        return []
    folder = Path(
        os.environ.get("TIKTOKEN_CACHE_DIR")
        or os.environ.get("DATA_GYM_CACHE_DIR")
        or Path(tempfile.gettempdir(), "data-gym-cache")
    )
    found = []
    for name, addresses in _TIKTOKEN_FILES.items():
        if all((folder / hashlib.sha1(address.encode()).hexdigest()).is_file() for address in addresses):
            encoding = tiktoken.get_encoding(name)
            found.append(
                ReferenceTokenizer(f"tiktoken {name}", encoding.n_vocab, encoding.encode_ordinary, encoding.decode)
            )
    return found


def _of_backend(name: str, backend: Any) -> ReferenceTokenizer:
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()

    def encode(text: str) -> list[int]:
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(ids: list[int]) -> str:
        text: str = backend.decode(ids, skip_special_tokens=False)
        return text

    return ReferenceTokenizer(name, backend.get_vocab_size(), encode, decode)


def _from_gguf(path: Path) -> ReferenceTokenizer:
    from gguf import GGUFReader
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    try:
        fields = GGUFReader(str(path)).fields
        keys = ("model", "pre", "tokens", "merges")
        content = {key: found.contents() for key in keys if (found := fields.get(f"tokenizer.ggml.{key}")) is not None}
    except Exception as error:  # the library raises what numpy raises
        raise UsageError(f"{path}: not a GGUF file ({' '.join(str(error).split())})") from None
    kind, pre = content.get("model"), content.get("pre")
    if kind != "gpt2" or pre not in _GGUF_PATTERNS or not {"tokens", "merges"} <= set(content):
        raise UsageError(
            f"{path}: its tokenizer is {kind!r} with pre-tokenizer {pre!r}; byte-level BPE (gpt2) with "
            f"{', '.join(_GGUF_PATTERNS)} can be read"
        )
    vocabulary = {text: number for number, text in enumerate(content["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in content["merges"]]
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=pre in ("llama-bpe", "llama3")))
    pattern = _GGUF_PATTERNS[pre]
    spelled: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is not None:
        spelled = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), spelled])
    backend.pre_tokenizer, backend.decoder = spelled, decoders.ByteLevel()
    return _of_backend(str(path), backend)
