"""What a vocabulary is, whoever made it: tokens with their bytes, merges, special tokens, and how text is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
LLAMA3_SPLIT, QWEN2_SPLIT, GPT2_SPLIT = "llama-bpe", "qwen2", "gpt-2"
"""GGUF's names of the ways in which text is split."""
_NAMES = {LLAMA3_PATTERN: LLAMA3_SPLIT, QWEN2_PATTERN: QWEN2_SPLIT}


def byte_alphabet() -> dict[int, str]:
    """GPT-2's spelling of bytes as printable characters: byte -> character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {byte: chr(byte) for byte in printable}
    for number, byte in enumerate(byte for byte in range(256) if byte not in spelled):
        spelled[byte] = chr(256 + number)
    return spelled


SPELLED = byte_alphabet()
BYTE_OF = {character: byte for byte, character in SPELLED.items()}


def spelled_bytes(text: str) -> bytes:
    """The bytes of a token that is spelled in the byte alphabet. Raises KeyError for one that is not."""
    return bytes(BYTE_OF[character] for character in text)


@dataclass(frozen=True)
class Vocabulary:
    """What a `tokenizer.json` says.

    `tokens` by id, spelled in the byte alphabet ("" for an id that is not used); `token_bytes` the text each stands for,
    none for special ones. `merges` by rank. `special` are ids by text. `start_ids` begin a document, `eos_id` ends one, and
    generation ends at any of `end_ids`. Where there is no bos or pad, their ids are that of eos. `split` is GGUF's name of
    the way in which text is split, None for one without a name.
    """

    tokens: list[str]
    token_bytes: list[bytes]
    merges: list[tuple[str, str]]
    special: dict[str, int]
    bos_id: int
    eos_id: int
    pad_id: int
    start_ids: tuple[int, ...]
    end_ids: frozenset[int]
    split: str | None
    ranks_are_ids: bool = False
    """Whether merge n makes the n-th token after special tokens and bytes."""


def split_name(pre_tokenizer: Any) -> str | None:
    """GGUF's name of a `pre_tokenizer` of a `tokenizer.json`, None for one that has none here."""
    try:
        if pre_tokenizer["type"] == "ByteLevel":
            return GPT2_SPLIT if pre_tokenizer["use_regex"] and not pre_tokenizer["add_prefix_space"] else None
        split, spell = pre_tokenizer["pretokenizers"]
        known = (split["type"], split["behavior"], split["invert"]) == ("Split", "Isolated", False)
        only_spells = (spell["type"], spell["add_prefix_space"], spell["use_regex"]) == ("ByteLevel", False, False)
        return _NAMES.get(split["pattern"]["Regex"]) if known and only_spells else None
    except (KeyError, TypeError, ValueError):
        return None
