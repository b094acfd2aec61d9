"""The vocabulary as GGUF keys, and back.

`tokenizer.ggml.model = gpt2` is byte-level BPE, `pre` names the way of splitting text (ours is `llama-bpe`); token texts are
spelled in GPT-2's byte alphabet, as in `tokenizer.json`. Embedding rows beyond the tokenizer's vocabulary become tokens of
type UNUSED.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.gguf.contents import Value
from nanochat_exporters.gguf.foreign_tokenizer import CONTROL, NORMAL, UNUSED, USER_DEFINED, definition_of, is_known
from nanochat_framework.data.special_tokens import SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError


def vocabulary_keys(tokenizer: Tokenizer | None, vocab_size: int, chat_template: str | None = None) -> dict[str, Value]:
    """`tokenizer.*` for a model with vocab_size rows.

    `chat_template` is Jinja text; None: ChatML for our own tokenizers, none for those of others.
    Raises UsageError if the tokenizer has more tokens than that, or splits text in a way that GGUF has no name for.
    Without a tokenizer (synthetic data) the file says so: `tokenizer.ggml.model = none`.
    """
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none"}
    if tokenizer.vocab_size > vocab_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocab_size} rows; "
            f"they do not belong together"
        )
    if tokenizer.split is None:
        raise UsageError(
            "the tokenizer splits text in a way that GGUF has no name for; export --to huggingface instead"
        )
    n_unused = vocab_size - tokenizer.vocab_size
    names = [text or f"<|unused_id_{number}|>" for number, text in enumerate(tokenizer.tokens)]
    keys: dict[str, Value] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": tokenizer.split,
        "tokenizer.ggml.tokens": [*names, *(f"<|unused_{number}|>" for number in range(n_unused))],
        "tokenizer.ggml.token_type": [*_types(tokenizer), *[UNUSED] * n_unused],
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": bool(tokenizer.start_ids),
    }
    others = sorted(tokenizer.end_ids - {tokenizer.bos_id, tokenizer.eos_id})
    keys |= {f"tokenizer.ggml.{role}_token_id": number for role, number in zip(("eot", "eom"), others, strict=False)}
    template = chat_template or (CHATML_TEMPLATE if tokenizer.is_ours else None)
    return keys | ({"tokenizer.chat_template": template} if template else {})


def _types(tokenizer: Tokenizer) -> list[int]:
    """llama.cpp's type of each token: tokens that were added as text stand in files as they are, not byte by byte."""
    plain = {token["content"] for token in tokenizer.definition["added_tokens"] if not token["special"]}

    def kind(text: str) -> int:
        if not text:
            return UNUSED
        return CONTROL if text in tokenizer.special_ids else USER_DEFINED if text in plain else NORMAL

    return [kind(text) for text in tokenizer.tokens]


def read_vocabulary(keys: Mapping[str, Any], where: str) -> Tokenizer | None:
    """The tokenizer of a file; None where it has none, or one that is not byte-level BPE split in a way known here.

    Raises UsageError where its keys are damaged.
    """
    tokens, types = keys.get("tokenizer.ggml.tokens"), keys.get("tokenizer.ggml.token_type")
    ours = isinstance(tokens, list) and tokens[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    if not (ours or is_known(keys)):
        return None
    merges = keys.get("tokenizer.ggml.merges")
    if (
        not (isinstance(tokens, list) and isinstance(types, list) and isinstance(merges, list))
        or len(types) != len(tokens)
        or not all(isinstance(text, str) for text in [*tokens, *merges])
        or any(merge.count(" ") != 1 for merge in merges)
    ):
        raise UsageError(f"{where}: tokenizer.ggml tokens, token_type and merges do not fit together")
    if not ours:
        return Tokenizer(definition_of(keys, where), origin=where)
    used = [text for text, kind in zip(tokens, types, strict=True) if kind != UNUSED]
    definition = copy.deepcopy(Tokenizer.train([], SMALLEST_VOCABULARY).definition)
    definition["model"]["vocab"] = {text: number for number, text in enumerate(used)}
    definition["model"]["merges"] = [merge.split(" ") for merge in merges]
    return Tokenizer(definition, origin=where)


def why_left_out(keys: Mapping[str, Any]) -> str:
    """What to tell a person of a vocabulary that `read_vocabulary` did not take."""
    model, split = keys["tokenizer.ggml.model"], keys.get("tokenizer.ggml.pre", "unnamed")
    return f"the file's ({model} with splitting {split}) is not byte-level BPE of a known splitting, so it is left out"
