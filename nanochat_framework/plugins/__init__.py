"""How parts are found: hook specification, registrar, loader, registry and the record of a component.

A plugin module needs three names from here::

    from nanochat_framework.plugins import Registrar, hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_register(registrar: Registrar) -> None:
        registrar.optimizer("vendor/name", config=".config:NameConfig", factory=".name:build_name", summary="...")
"""

from nanochat_framework.plugins.api import PLUGIN_API_VERSION, Panel, RunFacts, hookimpl
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.kinds import KINDS, Kind
from nanochat_framework.plugins.loader import PluginHost, PluginStatus, load_plugins
from nanochat_framework.plugins.registrar import Registrar
from nanochat_framework.plugins.registry import Registry, UnknownComponent

__all__ = [
    "KINDS",
    "PLUGIN_API_VERSION",
    "Component",
    "Kind",
    "Panel",
    "PluginHost",
    "PluginStatus",
    "Registrar",
    "Registry",
    "RunFacts",
    "UnknownComponent",
    "hookimpl",
    "load_plugins",
]
