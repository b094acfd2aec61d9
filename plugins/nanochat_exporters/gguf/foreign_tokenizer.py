"""The byte-level BPE vocabulary of a GGUF file that somebody else wrote, as a `tokenizer.json`.

GGUF names the way in which text is split (`tokenizer.ggml.pre`) instead of holding its pattern; the names that are known here
are those of `data/vocabulary.py`. llama.cpp's rules for what a file leaves out are followed: with `llama-bpe` a word that is
a token is taken whole, and texts begin with bos unless the file says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanochat_framework.data.foreign_vocabulary import with_roles
from nanochat_framework.data.vocabulary import GPT2_SPLIT, LLAMA3_PATTERN, LLAMA3_SPLIT, QWEN2_PATTERN, QWEN2_SPLIT
from nanochat_framework.errors import UsageError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's token types that byte-level vocabularies have."""
_PATTERNS = {GPT2_SPLIT: None, LLAMA3_SPLIT: LLAMA3_PATTERN, QWEN2_SPLIT: QWEN2_PATTERN}
_ENDS = ("eos", "eot", "eom")


def is_known(keys: Mapping[str, Any]) -> bool:
    """Whether the file's vocabulary is byte-level BPE with a way of splitting that has a name here."""
    return keys.get("tokenizer.ggml.model") == "gpt2" and keys.get("tokenizer.ggml.pre") in _PATTERNS


def definition_of(keys: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A parsed `tokenizer.json` with roles. Raises UsageError, naming `where`, if keys do not fit together."""
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    added = [
        {"id": number, "content": text, "special": kind == CONTROL, **_PLACED_ANYWHERE}
        for number, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (CONTROL, USER_DEFINED)
    ]
    split = keys["tokenizer.ggml.pre"]
    definition = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(_PATTERNS[split]),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {
            "type": "BPE",
            "vocab": {text: i for i, (text, kind) in enumerate(zip(tokens, types, strict=True)) if kind == NORMAL},
            "merges": [merge.split(" ") for merge in keys["tokenizer.ggml.merges"]],
            "ignore_merges": split == LLAMA3_SPLIT,
            "byte_fallback": False,
        },
    }
    roles = {role: _text(keys, f"tokenizer.ggml.{role}_token_id", tokens, where) for role in ("bos", "pad", *_ENDS)}
    roles["pad"] = roles["pad"] or _text(keys, "tokenizer.ggml.padding_token_id", tokens, where)
    ends = list(dict.fromkeys(text for text in (roles[role] for role in _ENDS) if text))
    if not ends:
        raise UsageError(f"{where}: no key tokenizer.ggml.eos_token_id says which token ends a text")
    begins = keys.get("tokenizer.ggml.add_bos_token", split == LLAMA3_SPLIT)
    try:
        return with_roles(definition, begins=bool(begins), bos=roles["bos"], eos=ends, pad=roles["pad"])
    except KeyError as error:
        raise UsageError(f"{where}: its token {error} has a role and is marked as unused") from None


_PLACED_ANYWHERE = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def _pre_tokenizer(pattern: str | None) -> dict[str, Any]:
    spell = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern is None}
    if pattern is None:
        return spell
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, spell]}


def _text(keys: Mapping[str, Any], key: str, tokens: list[str], where: str) -> str | None:
    number = keys.get(key)
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < len(tokens):
        raise UsageError(f"{where}: {key} is {number!r}, no id of its {len(tokens)} tokens")
    return tokens[number]
