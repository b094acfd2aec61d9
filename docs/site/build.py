"""Builds the site into build/site: `make docs`. A link that leads nowhere fails the build.

    python docs/site/build.py [--output DIR]

The pages are copied as they stand, but for the tags of code blocks, in the repository's own layout, so the links between them
need no rewriting; the README is the first page. Links to files that are no pages (a preset, a schema) take the file along;
links to folders and to code become plain text.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import tomli
import tomli_w

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))

import reference  # noqa: E402  (stands beside this file)

from nanochat_framework.plugins import load_plugins  # noqa: E402

TAG = re.compile(r"^( *```\w+) .+$", re.MULTILINE)
"""What follows the language of a block is for our tests; the builder takes such a line for no beginning of a block."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
OWN_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages at the top of the repository that stand in the site, where they are there; README.md is its first page."""
FILES = (".toml", ".json", ".svg", ".png")


def stage(source: Path) -> dict[str, list[str]]:
    """Put all pages into a folder, and say which pages each part of the site has (paths below it)."""
    shutil.rmtree(source, ignore_errors=True)
    made = reference.pages(load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry)
    for name, text in made.items():
        _write(source / "docs" / "reference" / name, text)
    for path in _pages():
        target = source / ("index.md" if path.name == "README.md" else path.relative_to(REPOSITORY))
        _write(target, _as_page(path, source))
    for folder, title in (("docs/decisions", "Decisions"), ("benchmarks/results", "Measurements")):
        _write(source / folder / "index.md", _contents(source / folder, title))
    return _parts(list(made))


def _pages() -> list[Path]:
    found = [REPOSITORY / "README.md", *(REPOSITORY / name for name in OWN_PAGES)]
    for folder in ("docs", "docs/decisions", "benchmarks/results"):
        found += sorted((REPOSITORY / folder).glob("*.md"))
    return [path for path in found if path.exists()]


def _as_page(path: Path, source: Path) -> str:
    """The page's text without the tags of its blocks. Files that it links to are copied; folders and code are plain text."""
    pages = set(_pages())

    def replaced(match: re.Match[str]) -> str:
        image, text, target, _ = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match.group()
        named = (path.parent / target).resolve()
        if named in pages or not named.exists():  # one that is not there is left for the build to refuse
            return match.group().replace("(README.md", "(index.md").replace("../README.md", "../index.md")
        if named.is_dir() and any(page.parent == named for page in pages):
            return match.group().replace(f"({target}", f"({target.rstrip('/')}/index.md")
        if named.is_file() and (image or named.suffix in FILES):
            copy = source / named.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(named, copy)
            return match.group()
        return text

    return TAG.sub(r"\1", LINK.sub(replaced, path.read_text(encoding="utf-8")))


def _contents(folder: Path, title: str) -> str:
    rows = []
    for page in sorted(folder.glob("*.md")):
        heading = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        rows.append(f"- [{heading.group(1) if heading else page.stem}]({page.name})\n")
    return f"# {title}\n\n{''.join(rows)}"


def _parts(made: Sequence[str]) -> dict[str, list[str]]:
    """Part -> pages. A page that site.toml does not name stands under How-to; a name without a page is passed over."""
    named: dict[str, list[str]] = tomli.loads((REPOSITORY / "docs/site/site.toml").read_text(encoding="utf-8"))["parts"]
    present = [path.name for path in sorted((REPOSITORY / "docs").glob("*.md"))]
    parts = {part: [f"docs/{page}" for page in pages if page in present] for part, pages in named.items()}
    listed = {page for pages in named.values() for page in pages}
    parts["How-to"] += [f"docs/{page}" for page in present if page not in listed]
    parts["Reference"] += [f"docs/reference/{name}" for name in made]
    decisions = sorted(path.name for path in (REPOSITORY / "docs/decisions").glob("*.md"))
    results = sorted(path.name for path in (REPOSITORY / "benchmarks/results").glob("*.md"))
    parts["Explanation"] += [f"docs/decisions/{name}" for name in ("index.md", *decisions)]
    parts["Explanation"] += [f"benchmarks/results/{name}" for name in ("index.md", *results)]
    return parts


def _navigation(parts: dict[str, list[str]]) -> list[dict[str, object]]:
    own: list[dict[str, object]] = [
        {name.removesuffix(".md").capitalize(): name} for name in OWN_PAGES if (REPOSITORY / name).exists()
    ]
    navigation: list[dict[str, object]] = [{"Home": "index.md"}]
    for part, pages in parts.items():
        entries: list[object] = [page for page in pages if page.count("/") == 1]
        for folder, title in (
            ("docs/reference", "Generated"),
            ("docs/decisions", "Decisions"),
            ("benchmarks/results", "Measurements"),
        ):
            inside = [page for page in pages if page.startswith(f"{folder}/")]
            entries += [{title: inside}] if inside else []
        navigation.append({part: entries})
    return [*navigation, *own]


def build(output: Path, workplace: Path) -> int:
    """Stage and build; the builder's exit code."""
    settings = tomli.loads((REPOSITORY / "docs/site/site.toml").read_text(encoding="utf-8"))
    settings["project"]["nav"] = _navigation(stage(workplace / "pages"))
    del settings["parts"]
    return render(settings, output, workplace)


def render(settings: dict[str, object], output: Path, workplace: Path) -> int:
    """Build what is staged in `workplace`/pages; the builder's exit code."""
    project = settings["project"]
    assert isinstance(project, dict)
    project |= {"docs_dir": "pages", "site_dir": "site"}
    (workplace / "zensical.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=workplace, check=False)
    if done.returncode == 0:
        shutil.rmtree(output, ignore_errors=True)
        shutil.move(workplace / "site", output)
    return done.returncode


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Build as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "site", help="default build/site")
    arguments = parser.parse_args()
    workplace = REPOSITORY / "build" / "site-work"
    workplace.mkdir(parents=True, exist_ok=True)
    code = build(arguments.output.absolute(), workplace)
    print(f"the site is in {arguments.output}/index.html" if code == 0 else "the site was not built", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
