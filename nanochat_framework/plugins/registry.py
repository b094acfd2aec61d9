"""All components there are, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nanochat_framework.plugins.component import Component


class UnknownComponent(LookupError):
    """No component of that kind has that name. `str()` gives near names and the plugins that did not load.

    `absent`: it is likelier that a plugin is missing than that a name was mistyped. Nothing is there of the vendor that is
    named, or nothing has a similar name and some plugin did not load.
    """

    def __init__(self, message: str, *, absent: bool = False) -> None:
        super().__init__(message)
        self.absent = absent


class Conflict(ValueError):
    """Two plugins claim one name."""


class Registry:
    """Components by (kind, name). Filled by the loader, then frozen; reading imports nothing."""

    def __init__(self) -> None:
        self._components: dict[tuple[str, str], Component] = {}
        self._contested: dict[tuple[str, str], tuple[Component, ...]] = {}
        self._unavailable: dict[str, str] = {}
        self._frozen = False

    def commit(self, components: Iterable[Component]) -> None:
        """Add components together. Raises Conflict, and adds none, if a name is taken."""
        assert not self._frozen, "the registry is frozen once the plugins are loaded"
        batch = list(components)
        for new in batch:
            taken = self._components.get((new.kind, new.name))
            if taken is not None:
                raise Conflict(f"{new.kind} {new.name!r} is registered by both {owner(taken)} and {owner(new)}")
        self._components.update({(new.kind, new.name): new for new in batch})

    def contest(self, kind: str, name: str, claimants: Sequence[Component]) -> None:
        """Record that several strangers claim a name; none of them gets it."""
        self._contested[(kind, name)] = tuple(claimants)

    def note_unavailable(self, plugin: str, line: str) -> None:
        """Record a plugin that did not load and a line on it, for the message about an unknown name."""
        self._unavailable[plugin] = line

    def freeze(self) -> None:
        """No more registrations."""
        self._frozen = True

    def get(self, kind: str, name: str) -> Component:
        """The component. Raises UnknownComponent with near names, all names and plugins that did not load."""
        try:
            return self._components[(kind, name)]
        except KeyError:
            raise self._unknown(kind, name) from None

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""
        return sorted(name for known, name in self._components if known == kind)

    def components(self, kind: str | None = None) -> list[Component]:
        """All components (of a kind), sorted by kind and name."""
        found = [c for c in self._components.values() if kind in (None, c.kind)]
        return sorted(found, key=lambda c: (c.kind, c.name))

    def _unknown(self, kind: str, name: str) -> UnknownComponent:
        contested = self._contested.get((kind, name))
        if contested:
            owners = " and ".join(owner(claimant) for claimant in contested)
            message = f"{kind} {name!r} is claimed by {owners}; disable one of them (NANOCHAT_DISABLE_PLUGINS)"
            return UnknownComponent(message, absent=True)
        import difflib

        available = self.names(kind)
        near = difflib.get_close_matches(str(name), available, n=1)
        vendor, slash, _ = str(name).partition("/")
        stranger = bool(slash) and not any(known.startswith(f"{vendor}/") for _, known in self._components)
        message = f"unknown {kind} {name!r}"
        if stranger and not any(f"{plugin}_".startswith((f"{vendor}_", f"{vendor}-")) for plugin in self._unavailable):
            message += f": no plugin of {vendor!r} is installed"
        message += f"; did you mean {near[0]!r}?" if near and not stranger else "."
        message += f" Available: {', '.join(available) or 'none'}"
        if self._unavailable:
            message += f". Plugins that are not loaded: {'; '.join(self._unavailable.values())}"
        return UnknownComponent(message, absent=stranger or (bool(self._unavailable) and not near))


def owner(component: Component) -> str:
    """`plugin (distribution version)`, for messages."""
    return f"{component.plugin} ({component.distribution} {component.version})"
