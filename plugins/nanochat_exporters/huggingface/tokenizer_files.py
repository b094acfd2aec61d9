"""The tokenizer as transformers reads it: `tokenizer.json`, `tokenizer_config.json`, and what ends a generation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.huggingface.weights import write_json
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic

TOKENIZER = "tokenizer.json"
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
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": [tokenizer.eos_id, tokenizer.special("<|im_end|>")],
        "pad_token_id": tokenizer.pad_id,
    }


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_seq_len: int) -> None:
    """Write the files. `AutoTokenizer` then puts `<|bos|>` before a text, as training did, unless it is told not to."""
    definition = copy.deepcopy(tokenizer.definition)
    bos = tokenizer.tokens[tokenizer.bos_id]
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            {"SpecialToken": {"id": bos, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": bos, "type_id": 1}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {bos: {"id": bos, "ids": [tokenizer.bos_id], "tokens": [bos]}},
    }
    write_atomic(folder / TOKENIZER, (json.dumps(definition, ensure_ascii=False, indent=1) + "\n").encode())
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": tokenizer.tokens[tokenizer.eos_id],
        "pad_token": tokenizer.tokens[tokenizer.pad_id],
        "model_max_length": max_seq_len,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHATML_TEMPLATE,
    }
    write_json(folder / "tokenizer_config.json", settings)


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder, None where it has none. Raises UsageError for one that cannot be used."""
    path = folder / TOKENIZER
    if not path.is_file():
        return None
    tokenizer = Tokenizer.load(path)
    return Tokenizer({**tokenizer.definition, "post_processor": None}, origin=str(path))
