"""Holds an exported folder against transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import NanochatError
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.inference.comparison import random_tokens, relative_difference

LARGEST_DIFFERENCE = 1e-4
"""Of logits, as a share of their range: float32 in another order of operations stays far below."""
_TEXTS = ("def main():\r\n\treturn 'naïve 日本 🙂'\n\n  # 12345 it's", "<|bos|> <|im_start|>user\n", "", " ", "\n\n\n")


@torch.no_grad()
def check_with_transformers(bundle: ModelBundle, path: Path) -> tuple[str, ...]:
    """One line for logits and one for the tokenizer. Raises NanochatError if transformers gives others than we do."""
    try:
        import transformers
    except ImportError:
        return (
            "not compared with transformers, which is not installed (pip install 'nanochat-framework[huggingface]')",
        )
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    tokens = random_tokens(bundle.description.vocab_size, bundle.description.max_seq_len)
    difference = relative_difference(model_from_bundle(bundle)(tokens), theirs.eval()(tokens).logits)
    if difference > LARGEST_DIFFERENCE:
        raise NanochatError(
            f"{path}: transformers' logits differ by {difference:.1e} of their range; do not use this folder"
        )
    version = transformers.__version__
    lines = [f"transformers {version}: logits differ by at most {difference:.1e} of their range"]
    if bundle.tokenizer is not None:
        other: Any = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        for text in _TEXTS:
            ids = other.encode(text, add_special_tokens=False, split_special_tokens=True)
            if ids != bundle.tokenizer.encode(text):
                raise NanochatError(
                    f"{path}: transformers' tokenizer gives other ids for {text!r}; do not use this folder"
                )
        lines.append(f"transformers {version}: its tokenizer gives the same ids")
    return tuple(lines)
