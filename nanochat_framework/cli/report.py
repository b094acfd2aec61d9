"""`nanochat report`: what a run was, how it went and how to do it again, on one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.report.document import Document

HELP = "one page about a run: curves, scores, samples, configuration, cost"

EXAMPLES = """\
examples:
  nanochat report first                              (writes report.html and report.md into the run's folder)
  nanochat report first --output first.html
  nanochat report runs/first --output reports --price-per-hour 0.60
  nanochat report first --format markdown --output - | less

The page needs nothing but itself: no script, no font, no request. It can be made while the run trains, and of a run that
failed. What was written is named on stdout.
"""
_SUFFIXES = {"html": ".html", "markdown": ".md"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", help="name of a run, or the path of its folder")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    parser.add_argument(
        "--output",
        metavar="DIR|FILE",
        help="a folder, a file that ends in .html or .md, or - (default: the run's folder)",
    )
    parser.add_argument("--format", metavar="A,B", help="html, markdown (default: both, or what the file's name says)")
    parser.add_argument("--price-per-hour", metavar="PRICE", help="what an hour of training costs, in any currency")


def run(arguments: argparse.Namespace) -> int:
    """Read the run, write the formats."""
    import time

    from nanochat_framework.cli.common import load_host
    from nanochat_framework.report.gather import gather
    from nanochat_framework.report.held_out import baselines
    from nanochat_framework.report.story import tell
    from nanochat_framework.runs.directory import RunDirectory, default_runs_dir

    price = _price(arguments.price_per_hour)
    found_run = RunDirectory.find(arguments.runs_dir or default_runs_dir(), arguments.run)
    targets = _targets(arguments.output, arguments.format, found_run.path)
    found = gather(found_run, load_host().registry)
    compressors, n_bytes = baselines(found.data) if found.values("eval/bits_per_byte") else ({}, 0)
    document = tell(found, price_per_hour=price, baselines=compressors, baseline_bytes=n_bytes, now=time.time())
    for name, path in targets.items():
        text = _written(document, name)
        if path is None:
            sys.stdout.write(text)
        else:
            _write(path, text)
            print(path)
    return 0


def _written(document: Document, name: str) -> str:
    from nanochat_framework.report.markdown import to_markdown
    from nanochat_framework.report.page import to_html

    return to_html(document) if name == "html" else to_markdown(document)


def _write(path: Path, text: str) -> None:
    from nanochat_framework.errors import UsageError
    from nanochat_framework.runs.atomic import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another place with --output") from None


def _targets(output: str | None, formats: str | None, run: Path) -> dict[str, Path | None]:
    """Format -> file to write, None for stdout. Raises UsageError."""
    from nanochat_framework.errors import UsageError

    wanted = None if formats is None else [name.strip() for name in formats.split(",") if name.strip()]
    for name in wanted or []:
        if name not in _SUFFIXES:
            raise UsageError(f"--format {name}: no such format; there are: {', '.join(_SUFFIXES)}")
    if wanted == []:
        raise UsageError(f"--format: name one of {', '.join(_SUFFIXES)}")
    if output == "":
        raise UsageError("--output: is empty; name a folder or a file, or leave it out for the run's folder")
    if output == "-":
        if wanted is None or len(wanted) != 1:
            raise UsageError("--output -: stdout takes one format; add --format html or --format markdown")
        return {wanted[0]: None}
    path = run if output is None else Path(output)
    by_name = next((name for name, suffix in _SUFFIXES.items() if path.suffix.lower() == suffix), None)
    if output is not None and by_name is not None and not path.is_dir():
        if wanted not in (None, [by_name]):
            raise UsageError(f"--output {output}: a file of one format; name a folder for --format {formats}")
        return {by_name: path}
    if path.is_file():
        raise UsageError(f"--output {output}: is a file; its name must end in .html or .md")
    return {name: path / f"report{_SUFFIXES[name]}" for name in wanted or _SUFFIXES}


def _price(text: str | None) -> float | None:
    from nanochat_framework.errors import UsageError

    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise UsageError(f"--price-per-hour: {text!r} is not a price")
    return value
