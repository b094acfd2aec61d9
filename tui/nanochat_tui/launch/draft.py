"""A configuration that is being put together: where it starts from, and what was changed, as `--set` would say it."""

from __future__ import annotations

import copy
import os
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanochat_framework.config.presets import preset_name
from nanochat_framework.config.toml_text import toml_table, toml_value
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic
from nanochat_framework.runs.directory import default_runs_dir
from nanochat_tui.launch.catalogue import Catalogue, Row, chosen_name

_PLAIN = re.compile(r"[A-Za-z_~./][A-Za-z0-9_~./:@+*-]*\Z")
"""Texts that `--set` takes for what they are, in any shell."""


def parsed(text: str) -> Any:
    """The right side of a `--set`: TOML, or a plain text."""
    try:
        return tomllib.loads(f"v = {text.strip()}")["v"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()


def right_side(text: str) -> str:
    """A text (not TOML) as the right side of a `--set`."""
    return text if _PLAIN.match(text) and parsed(text) == text else toml_value(text)


@dataclass
class Draft:
    """`target` is a preset's name, a file's path or a run's folder; `changes` are dotted keys with right sides of `--set`.

    `base` is what the target says and leaves to defaults, `said` the keys that it says itself; both are known after the first
    check (`know`).
    """

    target: str
    name: str = ""
    """Of the run; empty: the command chooses one."""
    changes: dict[str, str] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    """Settings that are shown because somebody wanted to see them."""
    base: dict[str, Any] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    catalogue: Catalogue | None = None

    def know(self, values: Sequence[Mapping[str, Any]], catalogue: Catalogue) -> None:
        """Take over what `config check --json` says of the target without changes."""
        self.catalogue = catalogue
        self.base = nested({row["key"]: row["value"] for row in values})
        self.said = {row["key"] for row in values if row["origin"]["kind"] not in ("default", "derived")}
        if Path(self.target).is_dir():  # a run has everything said; what is no default is worth showing
            defaults = {row.key: row.default for row in catalogue.rows(self.base)}
            self.said = {key for key in self.said if key not in defaults or _at(self.base, key) != defaults[key]}

    def data(self) -> dict[str, Any]:
        """The base with the changes, as far as that can be told without validating."""
        data = copy.deepcopy(self.base)
        for key, text in self.changes.items():
            _put(data, key, parsed(text), self.catalogue)
        return data

    def set(self, key: str, text: str) -> None:
        """Change a key; another component takes the changes of the one before with it."""
        if key.endswith(".name"):
            self._forget(key.removesuffix(".name"))
        self.changes.pop(key, None)
        self.changes[key] = text

    def reset(self, key: str) -> bool:
        """Take back what was changed at a key and below it; whether there was something."""
        before = len(self.changes) + len(self.added)
        self._forget(key)
        self.added = {each for each in self.added if each != key and not each.startswith(f"{key}.")}
        return len(self.changes) + len(self.added) != before

    def _forget(self, key: str) -> None:
        self.changes = {k: v for k, v in self.changes.items() if k != key and not k.startswith(f"{key}.")}

    def replace_array(self, key: str, members: Sequence[Any]) -> None:
        """Say an array of tables anew, as a whole."""
        self._forget(key)
        self.changes[key] = toml_value(members)

    def changed(self, key: str) -> bool:
        """Whether a key, or one around it that says it, was changed; of a table also if its name was."""
        return key in self.changes or f"{key}.name" in self.changes or self._inside_change(key)

    def _inside_change(self, key: str) -> bool:
        parts = key.split(".")
        for cut in range(1, len(parts)):
            text = self.changes.get(".".join(parts[:cut]))
            if text is not None and _at({"v": parsed(text)}, ".".join(["v", *parts[cut:]])) is not None:
                return True
        return False

    def is_said(self, key: str) -> bool:
        """Whether the target or a change says a key, rather than a default."""
        return self.changed(key) or (key in self.said and not any(self._replaces(each, key) for each in self.changes))

    def _replaces(self, changed: str, key: str) -> bool:
        """Whether what the target says of a key went with a change: of an array as a whole, or to another component."""
        table, _, last = changed.rpartition(".")
        if last == "name" and key.startswith(f"{table}."):
            own = self.catalogue.own_keys(table, str(parsed(self.changes[changed]))) if self.catalogue else set()
            return key[len(table) + 1 :].split(".")[0] not in own
        return key.startswith(f"{changed}.") and isinstance(parsed(self.changes[changed]), list)

    def members(self, key: str) -> list[Any]:
        """What is said of an array of tables, without defaults."""
        found = _at(self.data(), key)
        return [self._said(f"{key}.{n}", member) for n, member in enumerate(found if isinstance(found, list) else [])]

    def _said(self, key: str, value: Any) -> Any:
        """A table with what is said alone; `name` and whatever rules match by stay."""
        if isinstance(value, Mapping):
            inner = {name: self._said(f"{key}.{name}", each) for name, each in value.items()}
            return {
                name: each
                for name, each in inner.items()
                if name == "name" or self.is_said(f"{key}.{name}") or (isinstance(each, Mapping) and each)
            }
        return value

    def sets(self) -> list[str]:
        """The arguments of the changes."""
        return [word for key, text in self.changes.items() for word in ("--set", f"{key}={text}")]

    def arguments(self, runs_dir: Path) -> list[str]:
        """What follows `nanochat train`."""
        name = ["--run", self.name] if self.name else []
        folder = [] if runs_dir.absolute() == default_runs_dir().absolute() else ["--runs-dir", str(runs_dir)]
        return [self.target, *name, *folder, *self.sets()]

    def command(self, runs_dir: Path, *options: str) -> str:
        """The command line, a change a line."""
        words = [shlex.quote(word) for word in ("nanochat", "train", *self.arguments(runs_dir), *options)]
        return " ".join(words).replace(" --", " \\\n  --")

    def toml(self, target: str | None = None) -> str:
        """A file that says the same: what it extends, and the changes; arrays of tables are said as a whole."""
        tree: dict[str, Any] = {}
        for key in self.changes:
            array = self._array_around(key)
            if array is None:
                _put(tree, key, parsed(self.changes[key]), None)
            else:
                _put(tree, array, self.members(array), None)
        lines = [f"extends = {toml_value(target or self.target)}"]
        lines += [f"{section} = []" for section, value in tree.items() if value == []]
        lines = ["\n".join(lines) + "\n"]
        for section, value in tree.items():
            if isinstance(value, list):
                lines += [toml_table(f"[[{section}]]", member) for member in value]
            else:
                lines.append(toml_table(f"[{section}]", {"name": value} if isinstance(value, str) else value))
        return "\n".join(lines)

    def write(self, text: str) -> None:
        """Write the file to a path that was typed. Raises UsageError where that cannot be, or something is there."""
        path = Path(os.path.expanduser(text.strip()))
        if path.suffix != ".toml":
            raise UsageError("a path that ends in .toml")
        if os.path.lexists(path):
            raise UsageError(f"{path}: exists; choose another name")
        if not os.path.isdir(path.parent):
            raise UsageError(f"{path.parent}: is no folder")
        below = self.target if preset_name(self.target) else os.path.relpath(self.target, path.parent)
        try:
            write_atomic(path, self.toml(below).encode())
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})") from None

    def _array_around(self, key: str) -> str | None:
        """The array of tables that a key is in, or is."""
        parts = key.split(".")
        found = next((number for number, part in enumerate(parts) if part.isdigit()), None)
        if found is not None:
            return ".".join(parts[:found])
        return key if self.catalogue is not None and self.catalogue.is_array(key) else None


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as tables; numbers become places of arrays."""
    data: dict[str, Any] = {}
    for key, value in flat.items():
        node = data
        *parents, last = key.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return {key: _arrays(value) for key, value in data.items()}


def _arrays(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _arrays(each) for key, each in value.items()}
    return list(inner.values()) if inner and all(key.isdigit() for key in inner) else inner


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        if isinstance(data, list):
            data = data[int(part)] if part.isdigit() and int(part) < len(data) else None
        else:
            data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _put(data: dict[str, Any], key: str, value: Any, catalogue: Catalogue | None) -> None:
    """Set a key as `--set` would: tables are made, a bare name becomes a table, another name empties its table."""
    node: Any = data
    *parents, last = key.split(".")
    for part in parents:
        place: Any = int(part) if isinstance(node, list) and part.isdigit() else part
        if isinstance(node, list):
            if not (isinstance(place, int) and place < len(node)):
                return
        else:
            if isinstance(node.get(part), str):
                node[part] = {"name": node[part]}
            node.setdefault(part, {})
        node = node[place]
        if not isinstance(node, dict | list):
            return
    if isinstance(node, list):
        if last.isdigit() and int(last) < len(node):
            node[int(last)] = value
        return
    if catalogue is not None and last == "name" and chosen_name(node) not in (None, value):
        own = catalogue.own_keys(".".join(parents), str(value))
        for each in [each for each in node if each not in own]:
            del node[each]
    node[last] = value


def shown(row: Row) -> str:
    """A row's value as the form shows it: a text as it is, anything else as TOML."""
    if row.is_table:
        return chosen_name(row.value) or ""
    if row.value is None:
        return ""
    return row.value if isinstance(row.value, str) else toml_value(row.value)
