"""Law 11: each command line in the documents is executed, dry-run or config-checked, as its block is tagged.

A fenced `sh` block is tagged `run` (executed as it stands, all blocks of a page in one folder, with few training steps) or
`plan` (its `nanochat` commands must parse, its `make` targets must exist). A block without a tag is an error. What is tagged
`clean` installs something: tests of their own (`test_your_first_optimizer`) follow these pages in an environment of their own.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("CONTRIBUTING.md"), *(REPOSITORY / "docs").glob("*.md")])
BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FEW_STEPS = ["--set", "train.steps=12", "--set", "schedule.warmup_steps=2", "--set", "eval.every=0"]
NANOCHAT = [sys.executable, "-m", "nanochat_framework"]


def commands(page: Path, tag: str) -> list[str]:
    """The lines of a page's blocks with a tag."""
    lines = []
    for found, body in BLOCK.findall(page.read_text()):
        assert found in ("run", "plan", "clean"), f"{page.name}: a sh block is tagged {found!r}; use run, plan or clean"
        if found == tag:
            lines += [line for line in body.replace("\\\n", " ").splitlines() if line.strip()]
    return lines


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, "run")], ids=lambda page: page.name)
def test_run_blocks(page: Path, tmp_path: Path) -> None:
    for line in commands(page, "run"):
        program, *arguments = shlex.split(line, comments=True)
        assert program == "nanochat", f"{page.name}: {line}"
        extra = FEW_STEPS if arguments[0] == "train" else []
        done = subprocess.run(
            [*NANOCHAT, *arguments, *extra], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def _planned() -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in commands(page, "plan")]


@pytest.mark.parametrize(("page", "line"), _planned())
def test_plan_blocks(page: str, line: str) -> None:
    program, *arguments = _without_redirection(shlex.split(line, comments=True))
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert arguments[0] in targets
    elif program == "nanochat":
        _parse(arguments)
    else:
        assert program in ("git", "cd", "source"), f"{page}: {line}"


def _without_redirection(words: list[str]) -> list[str]:
    """A command's own words: what comes before the first `>`, `>>`, `<` or `|`."""
    return list(itertools.takewhile(lambda word: word not in (">", ">>", "<", "|"), words))


def _parse(arguments: list[str]) -> None:
    """Parse a command line as the program would; argparse leaves with code 2 on a mistake."""
    import argparse

    from nanochat_framework.cli import _module
    from nanochat_framework.config.presets import find_config

    module = _module(arguments[0])
    parser = argparse.ArgumentParser(prog=arguments[0])
    module.configure(parser)
    parsed = parser.parse_args(arguments[1:])
    if arguments[0] == "plan":
        assert find_config(parsed.config).is_file()


def test_links_inside_the_project_lead_somewhere() -> None:
    for page in [*PAGES, *(REPOSITORY / "docs" / "decisions").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
