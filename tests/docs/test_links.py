"""Every link inside the project leads to a file that is there, and to a heading that is in it; nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FOLDERS = ("", "docs", "docs/decisions", "benchmarks/results", "examples")
PAGES = sorted(page for folder in FOLDERS for page in (REPOSITORY / folder).glob("*.md"))
TOPS = (REPOSITORY, REPOSITORY / "nanochat_framework")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: lower case, punctuation gone, hyphens for spaces."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeated = found.get(anchor, 0)
        found[anchor] = repeated + 1
        names.add(f"{anchor}-{repeated}" if repeated else anchor)
    return names


def broken(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    wrong = []
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links(page: Path) -> None:
    assert broken(page) == []


def test_the_checker_finds_what_is_wrong(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# A `code` heading, twice\n\n## Again\n\n## Again\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#a-code-heading-twice) [c](other.md#again-1) [d](#here) `[e](nowhere.md)`\n\n# Here\n"
    page.write_text(good)
    assert broken(page) == []
    page.write_text(good + "[a](gone.md) [b](other.md#no-heading) [c](other.md#again-2) [d](#there)")
    assert [each.partition(":")[0] for each in broken(page)] == [
        "gone.md",
        "other.md#no-heading",
        "other.md#again-2",
        "#there",
    ]


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(name: str) -> None:
    """Paths in backquotes, from the top of the repository or from inside the core."""
    named = re.findall(r"`([\w-]+/[\w./-]*)`", (REPOSITORY / name).read_text(encoding="utf-8"))
    made = {"build/site"}
    assert len(named) > 3
    missing = [each for each in named if each not in made and not any((top / each).exists() for top in TOPS)]
    assert missing == []
