"""A report before it has a format: sections of a few kinds of blocks, which HTML and Markdown write each in its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat_framework.report.curves import Chart


@dataclass(frozen=True)
class Figure:
    """A key number: what it is, its value as people read it, and what to hold it against."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """The key numbers."""

    items: tuple[Figure, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of text; the columns in `numbers` are aligned to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Charts:
    """Curves, with the steps at which the run was resumed."""

    charts: tuple[Chart, ...]
    marks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Code:
    """Text as it was written."""

    text: str
    language: str = ""
    title: str = ""


@dataclass(frozen=True)
class Sample:
    """What the model made of a prompt."""

    prompt: str
    text: str
    caption: str


@dataclass(frozen=True)
class Folded:
    """Blocks that only some readers want; `on_paper`: whether those of a printed report do."""

    title: str
    blocks: tuple[Block, ...]
    on_paper: bool = True


Block = Figures | Text | Table | Charts | Code | Sample | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report. `state` is one word, `lead` a sentence or two."""

    title: str
    state: str
    lead: str
    made: str
    sections: tuple[Section, ...]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> Table:
    """A table from anything."""
    return Table(tuple(header), tuple(tuple(row) for row in rows), frozenset(numbers))
