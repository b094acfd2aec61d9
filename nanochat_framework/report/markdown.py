"""A document as Markdown that GitHub and others show; whatever a person wrote stands as it is and means nothing."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator

from nanochat_framework.report.curves import Chart, Series
from nanochat_framework.report.document import (
    Block,
    Charts,
    Code,
    Document,
    Figures,
    Folded,
    Sample,
    Table,
    Text,
)
from nanochat_framework.report.figures import compact

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!$@])")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 24


def to_markdown(document: Document) -> str:
    """The whole document."""
    lines = [f"# {_inline(document.title)}", "", f"**{_inline(document.state)}.** {_inline(document.lead)}", ""]
    for section in document.sections:
        lines += [f"## {_inline(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join([*lines, "---", "", _inline(document.made), ""])


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Figures):
        yield from _table(
            Table(("figure", "value", "note"), tuple((i.label, i.value, i.note) for i in block.items), frozenset({1}))
        )
    elif isinstance(block, Text):
        yield _paragraph(block.text)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Charts):
        rows = tuple(row for chart in block.charts for row in _chart(chart))
        header = ("curve", "unit", "from first to last step", "first", "least", "largest", "last")
        yield from _table(Table(header, rows, frozenset({3, 4, 5, 6})))
    elif isinstance(block, Code):
        if block.title:
            yield from (f"{_paragraph(block.title)}:", "")
        yield from _fenced(block.text, block.language)
    elif isinstance(block, Sample):
        yield from (f"{_paragraph(block.caption)}:", "")
        yield from _fenced(f"{block.prompt}{block.text}", "text")
    else:
        yield from _folded(block)


def _folded(block: Folded) -> Iterator[str]:
    title = html.escape(_UNPRINTABLE.sub("\ufffd", " ".join(block.title.splitlines())))  # raw HTML: no backslashes here
    yield from (f"<details><summary>{title}</summary>", "")
    for inner in block.blocks:
        yield from (*_block(inner), "")
    yield "</details>"


def _table(block: Table) -> Iterator[str]:
    yield f"| {' | '.join(_inline(cell) for cell in block.header)} |"
    yield f"|{'|'.join('---:' if n in block.numbers else '---' for n in range(len(block.header)))}|"
    for row in block.rows:
        yield f"| {' | '.join(_inline(cell) for cell in row)} |"


def _chart(chart: Chart) -> Iterator[tuple[str, ...]]:
    for series in chart.named:
        known = [value for _, value in series.finite]
        if known:
            name = f"{chart.title}: {series.name}" if series.name else chart.title
            ends = (known[0], min(known), max(known), known[-1])
            yield name, chart.unit, sparkline(series), *(compact(value) for value in ends)
    for name, value in chart.levels.items():
        yield f"{chart.title}: {name}", chart.unit, "", *[compact(value)] * 4


def sparkline(series: Series) -> str:
    """A line of blocks, each the mean of its stretch; a gap where nothing is a number."""
    points = series.points
    columns = min(_COLUMNS, len(points))
    means = []
    for number in range(columns):
        part = points[number * len(points) // columns : (number + 1) * len(points) // columns]
        known = [value for _, value in part if math.isfinite(value)]
        means.append(sum(known) / len(known) if known else math.nan)
    known = [mean for mean in means if math.isfinite(mean)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    return "".join(
        " " if not math.isfinite(mean) else _BARS[round((mean - low) / (high - low) * 7) if high > low else 0]
        for mean in means
    )


def _fenced(text: str, language: str) -> Iterator[str]:
    """A block of code, with a fence that is longer than any inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence + re.sub("[^a-z]", "", language)
    yield _UNPRINTABLE.sub("\ufffd", text)
    yield fence


def _paragraph(text: str) -> str:
    """A line that begins no list, no rule and no block of code."""
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", _inline(text.strip()))


def _inline(text: str) -> str:
    """Text on one line in which no character means anything; a web address is no link."""
    flat = _UNPRINTABLE.sub("\ufffd", " ".join(text.split("\n")))
    escaped = _SPECIAL.sub(r"\\\1", flat)
    return escaped.replace("://", ":\u200b//").replace("www.", "www\u200b.")
