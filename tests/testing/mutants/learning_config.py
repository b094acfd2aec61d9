"""The configuration of a quantizer whose scales are always learned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanochat_quantizers.config import Int4Config


class Learned(Int4Config):
    """Int4 with learned scales."""

    scale: Literal["learned"] = Field(default="learned", description="How scales are found.")  # type: ignore[assignment]
