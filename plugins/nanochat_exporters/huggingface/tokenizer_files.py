"""The tokenizer as transformers reads it: `tokenizer.json`, `tokenizer_config.json`, and what ends a generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.huggingface.config_json import read_json
from nanochat_exporters.huggingface.weights import write_json
from nanochat_framework.data.foreign_vocabulary import has_roles, with_roles
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_file import is_ours
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
GENERATION = "generation_config.json"


def check_fits(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raise UsageError if the tokenizer has more tokens than the model has rows."""
    if tokenizer.vocab_size > vocab_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocab_size} rows; "
            f"they do not belong together"
        )


def special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """Keys of `config.json` and `generation_config.json`: generation ends with a document or with a turn of a chat."""
    return {
        **({"bos_token_id": tokenizer.bos_id} if _has_bos(tokenizer) else {}),
        "eos_token_id": _ends(tokenizer),
        "pad_token_id": tokenizer.pad_id,
    }


def _has_bos(tokenizer: Tokenizer) -> bool:
    return tokenizer.bos_id != tokenizer.eos_id


def _ends(tokenizer: Tokenizer) -> list[int]:
    """What ends a generation, the end of a document first; in ours also the end of a chat's turn."""
    turn = {tokenizer.special("<|im_end|>")} if tokenizer.is_ours else set()
    others = (tokenizer.end_ids | turn) - {tokenizer.bos_id, tokenizer.eos_id}
    return [tokenizer.eos_id, *sorted(others)]


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_seq_len: int, chat_template: str | None) -> None:
    """Write the files. `AutoTokenizer` then puts before a text what training did, unless it is told not to.

    `chat_template` is Jinja text; None: ChatML for our own tokenizers, none for those of others.
    """
    text_of = tokenizer.tokens.__getitem__
    bos = text_of(tokenizer.bos_id) if _has_bos(tokenizer) else None
    definition = with_roles(
        tokenizer.definition,
        begins=bool(tokenizer.start_ids),
        bos=bos,
        eos=[text_of(number) for number in _ends(tokenizer)],
        pad=text_of(tokenizer.pad_id),
    )
    write_atomic(folder / TOKENIZER, (json.dumps(definition, ensure_ascii=False, indent=1) + "\n").encode())
    template = chat_template or (CHATML_TEMPLATE if tokenizer.is_ours else None)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": text_of(tokenizer.eos_id),
        "pad_token": text_of(tokenizer.pad_id),
        "model_max_length": max_seq_len,
        "clean_up_tokenization_spaces": False,
        **({"chat_template": template} if template else {}),
    }
    write_json(folder / SETTINGS, settings)


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder, None where it has none. Raises UsageError for one that cannot be used."""
    path = folder / TOKENIZER
    if not path.is_file():
        return None
    definition = read_json(path)
    if is_ours(definition):
        return Tokenizer({**definition, "post_processor": None}, origin=str(path))
    if not has_roles(definition):
        definition = _completed(definition, folder)
    return Tokenizer(definition, origin=str(path))


def read_chat_template(folder: Path) -> str | None:
    """The chat template of a folder: a file of its own, or in the tokenizer's settings; None where there is none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    template = _optional(folder / SETTINGS).get("chat_template")
    return template if isinstance(template, str) else None


def _completed(definition: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A `tokenizer.json` of others with what the files beside it say of its special tokens. Raises UsageError."""
    where = folder / TOKENIZER
    settings, generation = _optional(folder / SETTINGS), _optional(folder / GENERATION)
    config = _optional(folder / "config.json")
    try:
        texts = {token["id"]: token["content"] for token in definition["added_tokens"]}
        bos, eos, pad = (_text(settings.get(f"{role}_token")) for role in ("bos", "eos", "pad"))
        end_ids = generation.get("eos_token_id", config.get("eos_token_id"))
        ends = [texts[number] for number in _numbers(end_ids) if number in texts]
        if not eos and not ends:
            raise UsageError(f"{folder}: neither {SETTINGS} nor {GENERATION} says which token ends a text")
        eos_texts = list(dict.fromkeys([*([eos] if eos else []), *ends]))
        begins = bool(bos) and (settings.get("add_bos_token") is True or _begins_with(definition, bos))
        return with_roles(definition, begins=begins, bos=bos, eos=eos_texts, pad=pad)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{where}: does not fit the special tokens beside it ({error!r})") from None


def _begins_with(definition: dict[str, Any], bos: str | None) -> bool:
    """Whether the `tokenizers` library, as the file tells it, puts bos before a text."""
    from tokenizers import Tokenizer as Backend

    try:
        encoding = Backend.from_str(json.dumps(definition)).encode("a")
    except Exception as error:  # the library raises nothing narrower
        raise UsageError(f"{TOKENIZER}: not one that the tokenizers library reads ({error})") from None
    return bool(encoding.tokens[:1] == [bos])


def _text(token: Any) -> str | None:
    """A token of `tokenizer_config.json`: its text, or a table with it."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [number for number in values if type(number) is int]


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
