"""The content of a `tokenizer.json`: how it is trained, and what makes one ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanochat_framework.data.special_tokens import FIRST_BYTE_ID, SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.errors import UsageError

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZER_NAME = "llama-bpe"
"""GGUF's name of the split pattern."""
LARGEST_VOCABULARY = 2**20
"""Four times the largest vocabulary in use anywhere; the trainer sets aside room for all of it at once."""
LONGEST_TRAINED_WORD = 1000
"""Characters. The trainer's time grows with the square of a word's length: one of a million would take hours."""


def byte_alphabet() -> dict[int, str]:
    """GPT-2's spelling of bytes as printable characters: byte -> character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {byte: chr(byte) for byte in printable}
    for number, byte in enumerate(byte for byte in range(256) if byte not in spelled):
        spelled[byte] = chr(256 + number)
    return spelled


SPELLED = byte_alphabet()
BYTE_OF = {character: byte for byte, character in SPELLED.items()}


@dataclass(frozen=True)
class Vocabulary:
    """What a file says. `tokens` by id, spelled in the byte alphabet; `merges` by rank."""

    tokens: list[str]
    merges: list[tuple[str, str]]

    @property
    def merges_make_the_ids_in_order(self) -> bool:
        """Whether merge n makes token 289 + n, so that a token's id is its rank."""
        return [left + right for left, right in self.merges] == self.tokens[SMALLEST_VOCABULARY:]


def read_vocabulary(definition: dict[str, Any], origin: str) -> Vocabulary:
    """Take a parsed `tokenizer.json` apart. Raises UsageError, naming `origin`, unless it is of our kind."""
    try:
        model = definition["model"]
        ids: dict[str, int] = dict(model["vocab"])
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        added = {token["content"]: token["id"] for token in definition["added_tokens"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{origin}: not a tokenizer.json of a BPE model ({error!r})") from None
    ids.update(added)
    if not all(type(number) is int for number in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise UsageError(f"{origin}: its ids are not 0 to {len(ids) - 1} without gaps")
    if any(added.get(text) != number for number, text in enumerate(SPECIAL_TOKENS)):
        raise UsageError(f"{origin}: its first ids are not the reserved special tokens; train one with prepare-data")
    extra = next((text for text in added if text not in SPECIAL_TOKENS), None)
    if extra is not None:
        raise UsageError(f"{origin}: has a special token {extra!r} besides the reserved ones")
    tokens = sorted(ids, key=ids.__getitem__)
    _check_texts(tokens, origin)
    _check_merges(merges, ids, origin)
    if definition.get("normalizer") is not None or not _splits_as_llama3(definition.get("pre_tokenizer")):
        raise UsageError(f"{origin}: splits or changes text in another way than {PRE_TOKENIZER_NAME}")
    return Vocabulary(tokens, [(left, right) for left, right in merges])


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


def _splits_as_llama3(pre_tokenizer: Any) -> bool:
    try:
        split, spell = pre_tokenizer["pretokenizers"]
        return bool(
            (split["type"], split["pattern"], split["behavior"], split["invert"])
            == ("Split", {"Regex": LLAMA3_PATTERN}, "Isolated", False)
            and (spell["type"], spell["add_prefix_space"], spell["use_regex"]) == ("ByteLevel", False, False)
        )
    except (KeyError, TypeError, ValueError):
        return False


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
