"""Whether any plugin has a panel, without importing one."""

from __future__ import annotations

from nanochat_framework.errors import NanochatError
from nanochat_framework.plugins.discovery import OWN_DISTRIBUTION, Owners, declared
from nanochat_tui.commands import ask

HOOK = "nanochat_panels"


async def some_have_panels() -> bool:
    """Asks a process that loads the plugins, where there are other people's; what came with us has no panels."""
    owners = Owners()
    if all(owners.of(point)[0] == OWN_DISTRIBUTION for point in declared("nanochat")):
        return False
    try:
        plugins = await ask("plugins", "list", "--json")
    except NanochatError:
        return False
    return any(plugin["state"] == "ok" and HOOK in plugin["hooks"] for plugin in plugins)
