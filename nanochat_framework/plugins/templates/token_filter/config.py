"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class WidgetConfig(ComponentConfig):
    """`[token_filter] name = "acme/widget"`."""

    largest_loss: float = Field(
        default=12.0,
        gt=0,
        description="Tokens above this cross-entropy are dropped, in nats; noise is what is left there.",
    )
