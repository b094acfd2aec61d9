"""A new plugin as a complete distribution: files of `plugins/templates` with three words exchanged.

The templates are working code, type-checked and tested where they stand: a vendor "acme" with a component "widget".
Writing a plugin puts other words in their place, so what a person gets differs from what is tested by its names alone.
"""

from __future__ import annotations

import ast
import contextlib
import keyword
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.kinds import KINDS, check_kind

TEMPLATES = Path(__file__).parent / "templates"
SAME_FOLDER = {"importer": "exporter"}
"""Kinds that share a template: a format is worth reading where it is written."""
_WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
_PLACEHOLDERS = re.compile(r"nanochat-acme-widget|acme|widget|Widget|SUMMARY|USE")
_IN_TESTS = ("test_contract.py", "test_widget.py")
_AT_THE_TOP = {"pyproject.toml": "pyproject.toml", "README.md": "README.md", "gitignore": ".gitignore"}
_LONGEST = 20


@dataclass(frozen=True)
class NewPlugin:
    """A plugin to be written: one component of a kind. Raises UsageError for names that could not be."""

    kind: str
    vendor: str
    name: str

    def __post_init__(self) -> None:
        check_kind(self.kind)
        _check_word("--vendor", self.vendor)
        _check_word("NAME", self.name)
        if self.name in (*KINDS, "config", "contract", "component", "part"):
            raise UsageError(f"NAME {self.name!r} says what every such plugin is; name what is particular to yours")

    @property
    def component(self) -> str:
        """What a TOML file names."""
        return f"{self.vendor}/{self.name}"

    @property
    def plugin(self) -> str:
        """The entry point, as `nanochat plugins list` shows it."""
        return f"{self.vendor}_{self.name}"

    @property
    def package(self) -> str:
        """The import name."""
        return f"nanochat_{self.plugin}"

    @property
    def distribution(self) -> str:
        """What pip installs, and the name of the folder."""
        return self.package.replace("_", "-")

    @property
    def folder(self) -> Path:
        """The templates of this kind."""
        return TEMPLATES / SAME_FOLDER.get(self.kind, self.kind)

    def files(self) -> dict[str, str]:
        """Path inside the distribution -> content."""
        found = {path.name: path for path in (*_files(TEMPLATES / "common"), *_files(self.folder))}
        use = found.pop("use.md").read_text(encoding="utf-8")
        texts = {
            "nanochat-acme-widget": self.distribution,
            "acme": self.vendor,
            "widget": self.name,
            "Widget": "".join(part.capitalize() for part in self.name.split("_")),
            "SUMMARY": _summary(found["__init__.py"]),
        }
        texts["USE"] = _exchange(use.rstrip("\n"), texts)
        return {
            self._place(name): _exchange(path.read_text(encoding="utf-8"), texts)
            for name, path in sorted(found.items())
        }

    def _place(self, name: str) -> str:
        if name in _AT_THE_TOP:
            return _AT_THE_TOP[name]
        place = "tests" if name in _IN_TESTS else self.package
        return f"{place}/{name.replace('widget', self.name)}"

    def write(self, parent: Path) -> list[str]:
        """Write the distribution to a new folder inside `parent`; the paths of its files in that folder.

        The folder appears with everything in it or not at all. Raises UsageError if it exists or cannot be made.
        """
        target = parent / self.distribution
        if target.exists() or target.is_symlink():
            raise UsageError(f"{target}: exists already; nothing was written. Choose another NAME or --output")
        if not parent.is_dir():
            raise UsageError(f"{parent}: no such folder")
        temporary = parent / f".tmp-{self.distribution}-{os.getpid()}"
        files = self.files()
        try:
            for name, content in files.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            os.rename(temporary, target)
        except OSError as error:
            raise UsageError(f"{target}: cannot be written ({error.strerror})") from None
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(temporary)
        return list(files)


def _check_word(what: str, word: str) -> None:
    if not _WORD.match(word) or len(word) > _LONGEST:
        raise UsageError(
            f"{what} {word!r}: use lower-case letters, digits and single underscores, beginning with a letter, at most "
            f"{_LONGEST} characters"
        )
    if keyword.iskeyword(word):
        raise UsageError(f"{what} {word!r} is a word of Python's own; choose another")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file())


def _exchange(text: str, texts: dict[str, str]) -> str:
    """One pass, so that a name that contains a placeholder stays whole."""
    return _PLACEHOLDERS.sub(lambda found: texts[found[0]], text)


def _summary(module: Path) -> str:
    """The docstring of a template's plugin module, without its full stop."""
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").rstrip(".")
