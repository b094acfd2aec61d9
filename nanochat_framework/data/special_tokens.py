"""The reserved block: the first ids of every vocabulary, the same whatever its size, so that no later stage changes it.

After these come the 256 bytes, then the merges (docs/decisions/0006).
"""

from __future__ import annotations

from typing import Final

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"

SPECIAL_TOKENS: Final[tuple[str, ...]] = (
    BOS,
    EOS,
    PAD,
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<|user_start|>",
    "<|user_end|>",
    "<|assistant_start|>",
    "<|assistant_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
    *(f"<|spare_{number}|>" for number in range(16)),
)
"""bos, eos, pad; ChatML; tool marks; nanochat's eight besides bos; sixteen spare."""

FIRST_BYTE_ID: Final = len(SPECIAL_TOKENS)
"""Id of byte 0's token; the byte with value b has its place in the alphabet's order, not necessarily + b."""
SMALLEST_VOCABULARY: Final = FIRST_BYTE_ID + 256
"""Special tokens and bytes, no merges."""
