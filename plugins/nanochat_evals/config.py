"""Configuration of the evaluations."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class BitsPerByteConfig(ComponentConfig):
    """`bpb`."""

    batch_size: int = Field(default=16, gt=0, le=2**20, description="Sequences scored at a time.")
    seq_len: int = Field(default=0, ge=0, description="Window in tokens; 0 takes the model's longest.")
