"""The vocabulary as GGUF keys, and back.

`tokenizer.ggml.model = gpt2` is byte-level BPE, `pre = llama-bpe` our split pattern; token texts are spelled in GPT-2's
byte alphabet, as in `tokenizer.json`. Embedding rows beyond the tokenizer's vocabulary become tokens of type UNUSED.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.gguf.contents import Value
from nanochat_framework.data.special_tokens import SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_file import PRE_TOKENIZER_NAME
from nanochat_framework.errors import UsageError

_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
"""llama.cpp's token types."""


def vocabulary_keys(tokenizer: Tokenizer | None, vocab_size: int) -> dict[str, Value]:
    """`tokenizer.*` for a model with vocab_size rows. Raises UsageError if the tokenizer has more tokens than that.

    Without a tokenizer (synthetic data) the file says so: `tokenizer.ggml.model = none`.
    """
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none"}
    if tokenizer.vocab_size > vocab_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocab_size} rows; "
            f"they do not belong together"
        )
    n_unused = vocab_size - tokenizer.vocab_size
    special = set(SPECIAL_TOKENS)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": PRE_TOKENIZER_NAME,
        "tokenizer.ggml.tokens": [*tokenizer.tokens, *(f"<|unused_{number}|>" for number in range(n_unused))],
        "tokenizer.ggml.token_type": [
            *(_CONTROL if text in special else _NORMAL for text in tokenizer.tokens),
            *[_UNUSED] * n_unused,
        ],
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": CHATML_TEMPLATE,
    }


def read_vocabulary(keys: Mapping[str, Any], where: str) -> Tokenizer | None:
    """The tokenizer of a file; None where it has none, or one that is not of our kind (a foreign file's).

    Raises UsageError where keys that look like ours are damaged.
    """
    tokens, types = keys.get("tokenizer.ggml.tokens"), keys.get("tokenizer.ggml.token_type")
    if not isinstance(tokens, list) or tokens[: len(SPECIAL_TOKENS)] != list(SPECIAL_TOKENS):
        return None
    merges = keys.get("tokenizer.ggml.merges")
    if (
        not (isinstance(types, list) and isinstance(merges, list) and len(types) == len(tokens))
        or not all(isinstance(text, str) for text in [*tokens, *merges])
        or any(merge.count(" ") != 1 for merge in merges)
    ):
        raise UsageError(f"{where}: tokenizer.ggml tokens, token_type and merges do not fit together")
    used = [text for text, kind in zip(tokens, types, strict=True) if kind != _UNUSED]
    definition = copy.deepcopy(Tokenizer.train([], SMALLEST_VOCABULARY).definition)
    definition["model"]["vocab"] = {text: number for number, text in enumerate(used)}
    definition["model"]["merges"] = [merge.split(" ") for merge in merges]
    return Tokenizer(definition, origin=where)


def why_left_out(keys: Mapping[str, Any]) -> str:
    """What to tell a person of a vocabulary that `read_vocabulary` did not take."""
    model, split = keys["tokenizer.ggml.model"], keys.get("tokenizer.ggml.pre", "unnamed")
    return f"the file's ({model} with splitting {split}) does not begin with our special tokens, so it is left out"
