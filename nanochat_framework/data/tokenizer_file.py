"""The content of a `tokenizer.json`: how it is trained, and what makes one ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nanochat_framework.data.foreign_vocabulary import foreign_vocabulary, has_roles
from nanochat_framework.data.special_tokens import BOS, EOS, FIRST_BYTE_ID, PAD, SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.data.vocabulary import (
    BYTE_OF,
    LLAMA3_PATTERN,
    LLAMA3_SPLIT,
    Vocabulary,
    spelled_bytes,
    split_name,
)
from nanochat_framework.errors import UsageError

LARGEST_VOCABULARY = 2**20
"""Four times the largest vocabulary in use anywhere; the trainer sets aside room for all of it at once."""
LONGEST_TRAINED_WORD = 1000
"""Characters. The trainer's time grows with the square of a word's length: one of a million would take hours."""


def is_ours(definition: Mapping[str, Any]) -> bool:
    """Whether the first ids are the reserved special tokens."""
    try:
        added = {token["content"]: token["id"] for token in definition["added_tokens"]}
    except (KeyError, TypeError):
        return False
    return all(added.get(text) == number for number, text in enumerate(SPECIAL_TOKENS))


def read_vocabulary(definition: dict[str, Any], origin: str) -> Vocabulary:
    """Take a parsed `tokenizer.json` apart, ours or a foreign one that an importer has completed.

    Raises UsageError, naming `origin`, for one that cannot be used.
    """
    if not is_ours(definition) and has_roles(definition):
        return foreign_vocabulary(definition, origin)
    try:
        model = definition["model"]
        ids: dict[str, int] = dict(model["vocab"])
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        added = {token["content"]: token["id"] for token in definition["added_tokens"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{origin}: not a tokenizer.json of a BPE model ({error!r})") from None
    if not is_ours(definition):
        raise UsageError(
            f"{origin}: its first ids are not the reserved special tokens; train one with prepare-data, or `nanochat import` "
            f"the model it belongs to and take the tokenizer.json from there"
        )
    ids.update(added)
    if not all(type(number) is int for number in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise UsageError(f"{origin}: its ids are not 0 to {len(ids) - 1} without gaps")
    extra = next((text for text in added if text not in SPECIAL_TOKENS), None)
    if extra is not None:
        raise UsageError(f"{origin}: has a special token {extra!r} besides the reserved ones")
    tokens = sorted(ids, key=ids.__getitem__)
    _check_texts(tokens, origin)
    _check_merges(merges, ids, origin)
    if definition.get("normalizer") is not None or split_name(definition.get("pre_tokenizer")) != LLAMA3_SPLIT:
        raise UsageError(f"{origin}: splits or changes text in another way than {LLAMA3_SPLIT}")
    bos, eos, pad = (ids[text] for text in (BOS, EOS, PAD))
    return Vocabulary(
        tokens=tokens,
        token_bytes=[b""] * FIRST_BYTE_ID + [spelled_bytes(text) for text in tokens[FIRST_BYTE_ID:]],
        merges=[(left, right) for left, right in merges],
        special={text: ids[text] for text in SPECIAL_TOKENS},
        bos_id=bos,
        eos_id=eos,
        pad_id=pad,
        start_ids=(bos,),
        end_ids=frozenset((bos, eos)),
        split=LLAMA3_SPLIT,
        ranks_are_ids=[left + right for left, right in merges] == tokens[SMALLEST_VOCABULARY:],
    )


def _check_texts(tokens: list[str], origin: str) -> None:
    odd = next((text for text in tokens[FIRST_BYTE_ID:] if not text or any(c not in BYTE_OF for c in text)), None)
    if odd is not None:
        raise UsageError(f"{origin}: not a byte-level vocabulary (token {odd!r} is not spelled in bytes)")
    missing = set(BYTE_OF) - set(tokens[FIRST_BYTE_ID:SMALLEST_VOCABULARY])
    if missing:
        raise UsageError(f"{origin}: not a byte-level vocabulary (byte {BYTE_OF[min(missing)]} has no token)")


def _check_merges(merges: list[tuple[Any, ...]], ids: dict[str, int], origin: str) -> None:
    made = set()
    for pair in merges:
        if len(pair) != 2 or not all(
            isinstance(part, str) and part in ids for part in (*pair, "".join(map(str, pair)))
        ):
            raise UsageError(f"{origin}: merge {' '.join(map(str, pair))!r} is not of two tokens into a third")
        made.add(pair[0] + pair[1])
    if len(made) != len(ids) - SMALLEST_VOCABULARY:
        raise UsageError(f"{origin}: {len(ids) - SMALLEST_VOCABULARY} tokens need merges, {len(made)} have one")


def train_definition(texts: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """Learn merges from texts (Sennrich et al. 2016); returns a parsed `tokenizer.json`.

    Raises UsageError if vocab_size is below special tokens and bytes, or above LARGEST_VOCABULARY.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise UsageError(f"a vocabulary needs at least {SMALLEST_VOCABULARY} tokens (special tokens and bytes)")
    if vocab_size > LARGEST_VOCABULARY:
        raise UsageError(f"a vocabulary of {vocab_size} tokens is beyond all use; the limit is {LARGEST_VOCABULARY}")
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
        initial_alphabet=sorted(BYTE_OF),
        show_progress=False,
    )
    backend.train_from_iterator(_without_endless_words(texts), trainer)
    definition: dict[str, Any] = json.loads(backend.to_str())
    return definition


_IS_SPACE = np.array([chr(byte).isspace() and byte < 128 for byte in range(256)])


def _without_endless_words(texts: Iterable[str]) -> Iterator[str]:
    """The texts, with runs of visible characters or of white space cut at LONGEST_TRAINED_WORD bytes."""
    for text in texts:
        data = text.encode("utf-8", "replace")
        changes = np.flatnonzero(np.diff(_IS_SPACE[np.frombuffer(data, dtype=np.uint8)])) + 1
        edges = np.concatenate(([0], changes, [len(data)]))
        long = np.flatnonzero(np.diff(edges) > LONGEST_TRAINED_WORD)
        if not len(long):
            yield text
            continue
        done = 0
        for run in long:
            begin, end = int(edges[run]), int(edges[run + 1])
            for start in range(begin, end, LONGEST_TRAINED_WORD):
                yield data[done:start].decode("utf-8", "ignore")
                done = start
        yield data[done:].decode("utf-8", "ignore")
