"""The hook that a plugin implements, and the version of the interface it is written for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nanochat_framework.plugins.registrar import Registrar

PROJECT = "nanochat"
PLUGIN_API_VERSION = 1
"""Raised when a contract changes so that older plugins would break. A plugin states the one it was written for as
`NANOCHAT_PLUGIN_API`; a plugin that states none or a newer one is reported as incompatible and not loaded."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginHooks:
    """Hooks that a plugin may implement."""

    @hookspec
    def nanochat_register(self, registrar: Registrar) -> None:
        """Declare the components of this plugin. Called once; must import nothing heavy."""
