"""Configurations of the trackers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class TensorBoardConfig(ComponentConfig):
    """`name = "tensorboard"`: event files."""

    folder: str = Field(
        default="tensorboard",
        min_length=1,
        description="Folder of the event files; relative to the run's folder.",
    )


class WandbConfig(ComponentConfig):
    """`name = "wandb"`: a run of Weights & Biases with this run's name and id."""

    project: str = Field(default="nanochat", min_length=1, description="Project that the run belongs to.")
    entity: str | None = Field(default=None, description="User or team that owns the project; absent: the default one.")
    mode: Literal["offline", "online"] = Field(
        default="offline",
        description="Whether records stay in the run's folder, for `wandb sync` to send later, or are sent at once.",
    )
    tags: tuple[str, ...] = Field(default=(), description="Tags of the run.")


class CsvConfig(ComponentConfig):
    """`name = "csv"`: one table."""

    file: str = Field(default="metrics.csv", min_length=1, description="The file; relative to the run's folder.")
