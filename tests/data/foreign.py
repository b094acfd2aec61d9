"""Tokenizers as others make them, trained on a little text with the `tokenizers` library."""

from __future__ import annotations

import json
from typing import Any

from nanochat_framework.data.vocabulary import BYTE_OF, LLAMA3_PATTERN, QWEN2_PATTERN
from tests.exporters.models import corpus

CLASS = "PreTrainedTokenizerFast"
KINDS = ("gpt2", "qwen", "llama3")


def foreign_definition(kind: str) -> dict[str, Any]:
    """`tokenizer.json` in the manner of GPT-2 (own split, special token last), Qwen (NFC, no bos, a plain added token) or
    Llama 3 (bos before each text, merges ignored for whole words, ids with a gap)."""
    from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from tokenizers import Tokenizer as Backend

    backend = Backend(models.BPE(ignore_merges=kind == "llama3"))
    pattern = LLAMA3_PATTERN if kind == "llama3" else QWEN2_PATTERN
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2")
    backend.pre_tokenizer = spell if kind == "gpt2" else pre_tokenizers.Sequence([split, spell])
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [corpus()], trainers.BpeTrainer(vocab_size=500, initial_alphabet=sorted(BYTE_OF), show_progress=False)
    )
    if kind == "qwen":
        backend.normalizer = normalizers.NFC()
        backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        backend.add_tokens([AddedToken("<think>", normalized=False)])
    elif kind == "gpt2":
        backend.add_special_tokens(["<|endoftext|>"])
    else:
        backend.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
        number = backend.token_to_id("<|begin_of_text|>")
        backend.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A",
            pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", number)],
        )
    definition: dict[str, Any] = json.loads(backend.to_str())
    return definition


def settings_beside(kind: str) -> dict[str, dict[str, Any]]:
    """What the files beside `tokenizer.json` say of its special tokens."""
    if kind == "llama3":
        end = {
            "__type": "AddedToken",
            "content": "<|end_of_text|>",
            "normalized": False,
        }  # as transformers 4 wrote them
        named = {"tokenizer_class": CLASS, "bos_token": "<|begin_of_text|>", "eos_token": end}
        return {"tokenizer_config.json": named, "generation_config.json": {"eos_token_id": [501, 502]}}
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    text = "<|endoftext|>"
    others = {"bos_token": None, "eos_token": text, "pad_token": text, "chat_template": template}
    return {"tokenizer_config.json": {"tokenizer_class": CLASS, **others}}
