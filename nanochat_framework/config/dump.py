"""A configuration back as TOML."""

from __future__ import annotations

import tomli_w

from nanochat_framework.config.run_config import RunConfig


def dump_toml(config: RunConfig) -> str:
    """TOML with every default filled in; it loads to an equal configuration."""
    return tomli_w.dumps(config.to_dict())
