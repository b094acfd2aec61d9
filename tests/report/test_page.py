"""Whatever people and models write stands in a report as text: it becomes no element, no attribute, no link, no request."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.report.curves import Chart, Series
from nanochat_framework.report.document import (
    Block,
    Charts,
    Code,
    Document,
    Figure,
    Figures,
    Folded,
    Sample,
    Section,
    Table,
    Text,
)
from nanochat_framework.report.markdown import to_markdown
from nanochat_framework.report.page import to_html

NASTY = (
    "<script>alert(1)</script>", "</pre><img src=x onerror=alert(1)>", '" onload="x', "&lt;b&gt;", "]]>", "--><b>",
    "</style><style>*{}", "</title><h1>", "\x00\x1b[31m\ud800\ufffe", "a|b\n|c|", "```\n# no heading\n", "[x](http://x.y)",
    "![x](http://x.y/z.png)", "<http://x.y>", "https://x.y/z", "**bold** _it_ `code`", "javascript:alert(1)", "$$x$$", "@me #1",
    "- x", "1. x", "1) x", "===", "    x", "+ x",
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=30), st.lists(st.sampled_from(NASTY), max_size=3).map("".join)
)
VOID = {"meta", "path", "line", "circle", "br"}
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "nav", "section", "footer", "p", "span", "h1", "h2",
    "h3", "a", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "b", "strong", "figure",
    "figcaption", "details", "summary", "svg", "desc", "line", "text", "path", "circle",
}  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element; complains of what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or tag == "line":
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data


def document(*texts: str) -> Document:
    """Every kind of block, each with the texts."""
    one, two, three = texts
    line = Series(one, ((1.0, 2.0), (2.0, 1.0)))
    chart = Chart(two, three, (line, Series(three, ((1.0, 1.0),), dots=True)), {one: 1.5}, note=two, steps=(0, 3))
    blocks: list[Block] = [
        Figures((Figure(one, two, three),)),
        Text(one),
        Table((one, two), ((two, three),)),
        Charts((chart,), (1.5,)),
        Code(two, one, three),
        Sample(one, two, three),
    ]
    return Document(one, two, three, one, (Section(two, (*blocks, Folded(three, tuple(blocks)))),))


@settings(max_examples=50)
@given(TEXTS, TEXTS, TEXTS)
def test_html_holds_text_as_text(one: str, two: str, three: str) -> None:
    page = to_html(document(one, two, three))
    page.encode("utf-8")
    parsed = Page(page)
    names = [name for name, _ in parsed.elements]
    assert set(names) <= ELEMENTS
    assert names.count("html") == names.count("body") == names.count("main") == names.count("h1") == 1
    for name, attributes in parsed.elements:
        assert not {"src", "srcset", "style", "action", "data"} & set(attributes)
        assert not any(key.startswith("on") for key in attributes)
        assert name != "a" or (attributes["href"] or "").startswith("#")

    def shown(text: str) -> str:
        return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", "\ufffd", text)

    assert parsed.texts["h1"] == [shown(one)]
    codes = [text.replace("\r", "\n") for text in parsed.texts["code"]]
    assert shown(two).replace("\r", "\n") in codes


def test_the_number_of_elements_depends_on_no_text() -> None:
    plain = [name for name, _ in Page(to_html(document("a", "b", "c"))).elements]
    for text in NASTY:
        without_spans = [name for name, _ in Page(to_html(document(text.replace("`", "'"), "b", "c"))).elements]
        assert without_spans == plain


@settings(max_examples=30)
@given(TEXTS, TEXTS, TEXTS)
def test_markdown_holds_text_as_text(one: str, two: str, three: str) -> None:
    """Read with markdown-it, which follows CommonMark, and tables and bare links as GitHub has them."""
    module = pytest.importorskip("markdown_it")
    reader = module.MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(to_markdown(document(one, two, three)))
    kinds = [token.type for token in tokens]
    inner = [child for token in tokens for child in token.children or []]
    assert not {"link_open", "image", "html_inline", "em_open", "s_open"} & {child.type for child in inner}
    raw = "".join(token.content for token in tokens if token.type == "html_block")
    assert set(re.findall(r"</?(\w+)", raw)) <= {"details", "summary"}
    assert raw.count("<details>") == raw.count("</details>") == 1
    assert kinds.count("heading_open") == 2, "the title and the section"
    assert kinds.count("fence") == 4
    assert kinds.count("table_open") == 6
    assert sum(kind == "tr_open" for kind in kinds) == 2 * (2 + 2 + (3 + 1))


def test_nothing_is_requested() -> None:
    page = to_html(document("a", "b", "c"))
    policies = [
        each["content"] for _, each in Page(page).elements if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<img|<iframe", page)


def test_both_colour_schemes_and_paper_are_provided_for() -> None:
    page = to_html(document("a", "b", "c"))
    for part in ("prefers-color-scheme: dark", "@media print", "max-width: 640px", 'name="viewport"'):
        assert part in page
