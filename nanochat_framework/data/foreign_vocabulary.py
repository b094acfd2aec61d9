"""Byte-level BPE vocabularies of others: another split of the text, other special tokens, any order of ids.

A `tokenizer.json` does not say which of its tokens begin and end documents. What an importer finds out about that is kept
inside the file, where the `tokenizers` library has a place for it and other programs read it as what it is: a
post-processor of type TemplateProcessing, whose template puts the beginning before a text, and whose special tokens named
`bos`, `eos` and `pad` have the ids. `eos` may be several: the first ends a document, all of them end a generation.

Text is encoded without the file's normalizer (Qwen's brings text to NFC), so that every byte string comes back; ids differ
from the file's only for text that the normalizer would change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nanochat_framework.data.vocabulary import BYTE_OF, SPELLED, Vocabulary, spelled_bytes, split_name
from nanochat_framework.errors import UsageError

_KEEPS_ALL = ("Split", "Digits", "Punctuation", "ByteLevel")
"""Pre-tokenizers that cut text and lose none of it."""


def with_roles(
    definition: Mapping[str, Any], *, begins: bool, bos: str | None, eos: Sequence[str], pad: str | None
) -> dict[str, Any]:
    """A parsed `tokenizer.json` that says what its special tokens are for.

    `begins`: texts begin with bos. Raises KeyError for a token that the file does not have.
    """
    ids = {**definition["model"]["vocab"], **{token["content"]: token["id"] for token in definition["added_tokens"]}}
    named = {"bos": [bos] if bos else [], "eos": list(eos), "pad": [pad] if pad else []}
    special = {
        role: {"id": role, "ids": [ids[text] for text in texts], "tokens": texts}
        for role, texts in named.items()
        if texts
    }

    def sequence(name: str, number: int) -> list[dict[str, Any]]:
        start = [{"SpecialToken": {"id": "bos", "type_id": number}}] if begins and bos else []
        return [*start, {"Sequence": {"id": name, "type_id": number}}]

    processor = {
        "type": "TemplateProcessing",
        "single": sequence("A", 0),
        "pair": [*sequence("A", 0), *sequence("B", 1)],
        "special_tokens": special,
    }
    return {**definition, "post_processor": processor}


def has_roles(definition: Mapping[str, Any]) -> bool:
    """Whether a file says which of its tokens ends a document."""
    processor = definition.get("post_processor")
    return isinstance(processor, dict) and "eos" in (processor.get("special_tokens") or ())


def foreign_vocabulary(definition: Mapping[str, Any], origin: str) -> Vocabulary:
    """Take a file with roles apart. Raises UsageError, naming `origin`, if it is not byte-level BPE."""
    try:
        model, added = definition["model"], definition["added_tokens"]
        ids: dict[str, int] = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        roles = {role: list(found["ids"]) for role, found in definition["post_processor"]["special_tokens"].items()}
        begins = any("SpecialToken" in piece for piece in definition["post_processor"]["single"])
        special = {token["content"]: token["id"] for token in added if token["special"]}
        texts = {token["content"] for token in added if not token["special"]}
        stripping = [t["content"] for t in added if not t["special"] and (t["lstrip"] or t["rstrip"])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{origin}: not a tokenizer.json of a BPE model ({error!r})") from None
    _check_ids(ids, origin)
    _check_byte_level(definition, set(ids) - set(special) - texts, origin)
    if stripping:
        raise UsageError(f"{origin}: its token {stripping[0]!r} swallows white space, so bytes would be lost")
    tokens = [""] * (max(ids.values()) + 1)
    for text, number in ids.items():
        tokens[number] = text
    control = {"", *special}
    eos = roles["eos"]
    return Vocabulary(
        tokens=tokens,
        merges=[(str(left), str(right)) for left, right in merges],
        token_bytes=[
            b"" if text in control else text.encode() if text in texts else spelled_bytes(text) for text in tokens
        ],
        special=special,
        bos_id=roles.get("bos", eos)[0],
        eos_id=eos[0],
        pad_id=roles.get("pad", eos)[0],
        start_ids=tuple(roles["bos"]) if begins else (),
        end_ids=frozenset([*eos, *roles.get("bos", ())]),
        split=split_name(definition.get("pre_tokenizer")),
    )


def _check_ids(ids: Mapping[str, int], origin: str) -> None:
    numbers = list(ids.values())
    if not all(type(number) is int and 0 <= number < 2**24 for number in numbers) or len(set(numbers)) < len(numbers):
        raise UsageError(f"{origin}: two of its tokens share an id, or an id is no number")


def _check_byte_level(definition: Mapping[str, Any], learned: set[str], origin: str) -> None:
    """Raise UsageError unless any bytes can be encoded, and come back."""
    model, normalizer = definition["model"], definition.get("normalizer")
    if model.get("type", "BPE") != "BPE" or model.get("byte_fallback"):
        kind = "BPE with byte fallback (SentencePiece)" if model.get("byte_fallback") else model.get("type")
        raise UsageError(f"{origin}: a tokenizer of type {kind}; only byte-level BPE returns every byte")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix") or model.get("dropout"):
        raise UsageError(f"{origin}: marks parts of words or drops merges by chance, which byte-level BPE does not")
    odd = next((text for text in sorted(learned) if any(character not in BYTE_OF for character in text)), None)
    missing = next((byte for byte, character in SPELLED.items() if character not in learned), None)
    if odd is not None or missing is not None:
        what = f"token {odd!r} is not spelled in bytes" if odd is not None else f"byte {missing} has no token"
        raise UsageError(f"{origin}: not a byte-level vocabulary ({what})")
    if normalizer is not None and normalizer != {"type": "NFC"}:
        raise UsageError(f"{origin}: changes text before it is encoded (normalizer {json.dumps(normalizer)[:60]})")
    _check_split(definition.get("pre_tokenizer"), origin)


def _check_split(pre_tokenizer: Any, origin: str) -> None:
    """Raise UsageError unless text is only cut, and spelled in bytes."""
    whole = pre_tokenizer if isinstance(pre_tokenizer, dict) else {}
    listed = whole.get("pretokenizers") if whole.get("type") == "Sequence" else [whole]
    parts: list[Any] = listed if isinstance(listed, list) else [None]
    for part in parts:
        known = isinstance(part, dict) and part.get("type") in _KEEPS_ALL
        if not known or part.get("behavior") == "Removed" or part.get("add_prefix_space"):
            raise UsageError(f"{origin}: cuts text in a way that changes it (pre_tokenizer {json.dumps(part)[:60]})")
    if not any(part["type"] == "ByteLevel" for part in parts):
        raise UsageError(f"{origin}: not a byte-level vocabulary (no pre_tokenizer ByteLevel)")
