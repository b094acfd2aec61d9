"""Configuration of the sources."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class FilesConfig(ComponentConfig):
    """What every source of files takes."""

    paths: tuple[str, ...] = Field(min_length=1, description="Files, folders (searched deeply) or glob patterns.")


class RowsConfig(FilesConfig):
    """What every source of rows takes."""

    field: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Field or column with the text, or with a list of messages whose contents are joined by blank lines; "
            '"text", else "messages", if absent.'
        ),
    )
    score_field: str | None = Field(
        default=None,
        min_length=1,
        description="Field or column with a finite number, low for easy documents, that a curriculum orders by.",
    )
    skip_malformed: bool = Field(
        default=False, description="Whether malformed rows are counted and left out; else the first one is an error."
    )


class TextConfig(RowsConfig):
    """`source = { name = "text" }`: rows are what .jsonl and .parquet files have."""


class JsonlConfig(RowsConfig):
    """`source = { name = "jsonl" }`."""


class ParquetConfig(RowsConfig):
    """`source = { name = "parquet" }`."""


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

    n_samples: int = Field(
        default=100_000, gt=0, le=10**8, description="Number of sequences, each ten to sixty tokens long."
    )
    seed: int = Field(default=42, ge=0, description="Seed of the sequences.")
