"""Configurations of the trackers."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nanochat_framework.config.component import ComponentConfig

_OWN_ENDINGS = (".json", ".jsonl", ".log", ".toml", ".safetensors")


def _not_the_runs_own(name: str) -> str:
    """A name in the run's folder that is none of what the training keeps there. Raises ValueError."""
    path = PurePath(name)
    if "checkpoints" in path.parts or path.name.startswith(".") or path.name.lower().endswith(_OWN_ENDINGS):
        raise ValueError(f"{name!r} is for what the run keeps itself; choose another name")
    return name


OutputName = Annotated[str, AfterValidator(_not_the_runs_own)]


class TensorBoardConfig(ComponentConfig):
    """`name = "tensorboard"`: event files."""

    folder: OutputName = Field(
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

    file: OutputName = Field(default="metrics.csv", min_length=1, description="The file; relative to the run's folder.")
