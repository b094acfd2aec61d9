"""Configurations of the exporters and importers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig

TableType = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q4_0"]
"""Types that a table may be rounded to; 32, 16, 16, 8.5, 6.5625 and 4.5 bits a weight."""


class GgufConfig(ComponentConfig):
    """`nanochat export MODEL --to gguf --option key=value`."""

    architecture: Literal["auto", "llama", "qwen3", "qwen3moe", "qwen35", "qwen35moe", "nanochat"] = Field(
        default="auto",
        description="llama, qwen3 (normalised heads), qwen35 (gated attention and delta nets), qwen3moe and qwen35moe (with "
        "experts): for stock llama.cpp, or an error that names what it cannot carry; nanochat: our own keys; auto: the one "
        "of stock llama.cpp that carries the model exactly, else nanochat.",
    )
    type: Literal["f32", "f16", "bf16", "q8_0"] = Field(
        default="f32",
        description="Storage of matrices that training did not quantise, and of the embedding and the head where they "
        "have no type of their own. Only f32 keeps every bit.",
    )
    ternary_type: Literal["tq2_0", "tq1_0", "q4_0"] = Field(
        default="tq2_0",
        description="Storage of ternary weights, in bits a weight 2.0625, 1.6875, 4.5: all exact. Weights that the type "
        "cannot hold (the first two need scale groups and rows of multiples of 256) go into the next that can.",
    )
    embedding_type: TableType | None = Field(
        default=None, description="Storage of the embedding (and of the head that is tied to it); absent: as `type`."
    )
    head_type: TableType | None = Field(
        default=None, description="Storage of the output head; absent: as `type`, or as the embedding it is tied to."
    )
    model_name: str | None = Field(default=None, description="general.name of the file; the run's name when absent.")
    license: str | None = Field(
        default=None, description="general.license of the file (an SPDX name); none when absent."
    )


class GgufImporterConfig(ComponentConfig):
    """Reading a GGUF file has no settings."""


class MhcFileConfig(ComponentConfig):
    """`--to mhc`: the file's format leaves nothing to choose."""


class HuggingFaceConfig(ComponentConfig):
    """`nanochat export MODEL --to huggingface --option key=value`."""

    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Number format of the weights; fp32 keeps every bit."
    )
    shard_gb: float = Field(default=5.0, gt=0, description="Largest file of weights, in units of 10^9 bytes.")
    model_name: str | None = Field(default=None, description="Title of the model card; the run's name when absent.")
    license: str | None = Field(default=None, description="License in the model card (an SPDX name); none when absent.")


class HuggingFaceImporterConfig(ComponentConfig):
    """`nanochat import FOLDER --option key=value`."""

    tokenizer: bool = Field(default=True, description="Whether tokenizer.json is read; weights alone need none.")


class SafetensorsConfig(ComponentConfig):
    """One safetensors file, out or in: nothing to choose."""
