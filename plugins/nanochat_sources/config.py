"""Configuration of the sources."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class TextConfig(ComponentConfig):
    """`source = { name = "text" }`."""

    paths: tuple[str, ...] = Field(min_length=1, description="Files, folders (searched deeply) or glob patterns.")


class PythonStdlibConfig(ComponentConfig):
    """`source = { name = "python_stdlib" }`: it has no settings."""


class TokensConfig(ComponentConfig):
    """`source = { name = "tokens" }`."""

    path: str = Field(description="Training tokens (tokens.bin), relative to the working directory.")
    validation_path: str | None = Field(
        default=None, description="Held-out tokens; val.bin beside the training tokens if absent."
    )


class SyntheticConfig(ComponentConfig):
    """`source = { name = "synthetic" }`."""

    n_samples: int = Field(default=100_000, gt=0, description="Number of sequences, each ten to sixty tokens long.")
    seed: int = Field(default=42, ge=0, description="Seed of the sequences.")
