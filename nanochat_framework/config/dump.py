"""A configuration back as TOML, laid out as a person would write it."""

from __future__ import annotations

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.toml_text import toml_sections


def dump_toml(config: RunConfig) -> str:
    """TOML with every default filled in; it loads to an equal configuration.

    A section is a table or an array of tables; what is inside a section is written inline, as in the presets.
    """
    return "\n".join(toml_sections(config.to_dict()))
