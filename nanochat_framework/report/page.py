"""A document as one HTML page that needs nothing else: no script, no request, light and dark, for screens and paper."""

from __future__ import annotations

import re

from nanochat_framework.report.curves import Chart
from nanochat_framework.report.document import (
    Block,
    Charts,
    Code,
    Document,
    Figures,
    Folded,
    Sample,
    Section,
    Table,
    Text,
)
from nanochat_framework.report.figures import compact
from nanochat_framework.report.markup import Html, join, tag
from nanochat_framework.report.style import STYLE
from nanochat_framework.report.svg import draw

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TABLE_ROWS = 12


def to_html(document: Document) -> str:
    """The whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{document.title} – training report"),
        tag("style", Html(STYLE)),
    )
    entries = [tag("a", section.title, href=f"#{_identity(section)}") for section in document.sections]
    header = tag(
        "header",
        tag("p", "Training report ", tag("span", document.state, class_=f"state {document.state}"), class_="eyebrow"),
        tag("h1", document.title),
        tag("p", document.lead, class_="lead"),
    )
    body = tag(
        "body",
        tag(
            "main",
            header,
            *(_section(section, number) for number, section in enumerate(document.sections)),
            tag("footer", tag("p", document.made)),
        ),
    )
    body = Html(body.replace("</header>", f"</header>{tag('nav', *entries, aria_label='Sections')}", 1))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _identity(section: Section) -> str:
    return re.sub(r"[^a-z]+", "-", section.title.lower()).strip("-")


def _section(section: Section, number: int) -> Html:
    blocks = (_block(block, f"s{number}b{position}") for position, block in enumerate(section.blocks))
    if number == 0:
        return tag("section", tag("h2", section.title, class_="unseen"), *blocks, id=_identity(section))
    return tag("section", tag("h2", section.title), *blocks, id=_identity(section))


def _block(block: Block, identity: str) -> Html:
    if isinstance(block, Figures):
        items = (
            tag(
                "div", tag("dt", item.label), tag("dd", item.value, class_="value"), tag("dd", item.note, class_="note")
            )
            for item in block.items
        )
        return tag("dl", *items, class_="figures")
    if isinstance(block, Text):
        return tag("p", block.text)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Charts):
        drawn = (_chart(chart, block.marks, f"{identity}c{n}") for n, chart in enumerate(block.charts))
        note = tag("p", "Dotted vertical lines: the run was resumed there.", class_="note") if block.marks else ""
        return join(tag("div", *drawn, class_="charts"), note)
    if isinstance(block, Code):
        title = tag("h3", block.title) if block.title else ""
        return join(title, tag("pre", tag("code", block.text), tabindex=0))
    if isinstance(block, Sample):
        return tag(
            "figure",
            tag("pre", tag("b", block.prompt), block.text, tabindex=0),
            tag("figcaption", block.caption),
            class_="sample",
        )
    return _folded(block, identity)


def _folded(block: Folded, identity: str) -> Html:
    inner = (_block(each, f"{identity}f{number}") for number, each in enumerate(block.blocks))
    return tag("details", tag("summary", block.title), *inner, class_=None if block.on_paper else "screen")


def _table(block: Table) -> Html:
    def row(cells: tuple[str, ...], name: str) -> Html:
        return tag("tr", *(tag(name, c, class_="n" if i in block.numbers else None) for i, c in enumerate(cells)))

    head, body = tag("thead", row(block.header, "th")), tag("tbody", *(row(cells, "td") for cells in block.rows))
    plain = tag("table", head, body, class_="pairs" if len(block.header) == 2 else None)
    return tag("div", plain, class_="wide", tabindex=0, role="group", aria_label=", ".join(block.header))


def _chart(chart: Chart, marks: tuple[float, ...], identity: str) -> Html:
    drawing = draw(chart, identity, marks)
    if not drawing:
        return Html("")
    unit = tag("span", chart.unit, class_="unit") if chart.unit else ""
    notes = " ".join(part for part in (chart.note, "Logarithmic." if chart.logarithmic else "") if part)
    return tag(
        "figure",
        tag("figcaption", tag("strong", chart.title), " ", unit),
        drawing,
        tag("p", notes, class_="note") if notes else "",
        tag("details", tag("summary", "as a table"), _twin(chart), class_="twin"),
        class_="curve",
    )


def _twin(chart: Chart) -> Html:
    """The chart's values at a dozen steps of each line."""
    lines = [series for series in chart.named if series.finite]
    steps = sorted({step for series in lines for step, _ in series.finite})
    if len(steps) > _TABLE_ROWS:
        steps = sorted({steps[n * (len(steps) - 1) // (_TABLE_ROWS - 1)] for n in range(_TABLE_ROWS)})
    known = [dict(series.points) for series in lines]
    held_out = {step for series in lines if series.dots for step, _ in series.finite}
    if held_out and len(held_out) <= 2 * _TABLE_ROWS:
        steps = sorted({*steps, *held_out})
    rows = tuple(
        (f"{step:,.0f}", *(compact(values[step], 4) if step in values else "" for values in known)) for step in steps
    )
    header = ("step", *(series.name or chart.unit or chart.title for series in lines))
    return _table(Table(header, rows, frozenset(range(len(header)))))
