"""Configurations of the exporters and importers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class GgufConfig(ComponentConfig):
    """`nanochat export MODEL --to gguf --option key=value`."""

    architecture: Literal["auto", "llama", "nanochat"] = Field(
        default="auto",
        description="llama: for stock llama.cpp, or an error that names what it cannot carry; nanochat: our own keys; "
        "auto: llama where it can carry the model exactly, else nanochat.",
    )
    embedding_type: Literal["f32", "f16"] = Field(
        default="f32",
        description="Storage of the embedding and the output head: f32 keeps every bit, f16 halves them and rounds.",
    )
    model_name: str | None = Field(default=None, description="general.name of the file; the run's name when absent.")
    license: str | None = Field(
        default=None, description="general.license of the file (an SPDX name); none when absent."
    )


class GgufImporterConfig(ComponentConfig):
    """Reading a GGUF file has no settings."""


class MhcFileConfig(ComponentConfig):
    """`--to mhc`: the file's format leaves nothing to choose."""
