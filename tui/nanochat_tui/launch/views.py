"""The form's texts: heading, estimate and command, and what is to be said of the setting at hand."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import wrap

from rich.text import Text

from nanochat_tui.launch.assessment import RUN_NAME, Assessment
from nanochat_tui.launch.catalogue import Row
from nanochat_tui.launch.draft import shown
from nanochat_tui.palette import palette

COSTS_WIDTH = 46
"""Columns of the estimate beside the settings."""


def heading(assessment: Assessment, doing: str = "") -> Text:
    """Where it starts from, how many changes there are, and whether all is well."""
    target = assessment.draft.target
    count, wrong = len(assessment.draft.changes), len(assessment.problems)
    text = Text(f" New run from {Path(target).name if os.sep in target else target}", no_wrap=True)
    text.append(f"   {count} change{'s' * (count != 1)}" if count else "")
    if doing or not assessment.checked:
        return text.append(f"   {doing or 'checking…'}", palette().faint)
    if wrong:
        return text.append(f"   ✗ {wrong} problem{'s' * (wrong != 1)}", palette().alert)
    return text.append("   ✓ well", palette().good)


def figures(assessment: Assessment) -> Text:
    """The estimate in one line."""
    known = dict(assessment.costs)
    short = [known.get(key, "") for key in ("parameters", "memory", "time")]
    short[0] += " parameters" if short[0] else ""
    line = assessment.costs_problem or "   ".join(part for part in short if part)
    return Text(f" {line}", style=_style(assessment))


def costs(assessment: Assessment) -> Text:
    """The estimate, warnings and the command, one below the other."""
    text = Text("Estimate\n", style="bold")
    for name, figure in assessment.costs:
        for number, part in enumerate(wrap(figure, COSTS_WIDTH - 14)):
            text.append(f"{'' if number else name:<11}", "not bold dim")
            text.append(f"{part}\n", f"not bold {_style(assessment)}")
    if assessment.costs_problem:
        text.append(f"{assessment.costs_problem}\n", "not bold dim")
    for warning in assessment.verdict.warnings if assessment.checked else ():
        text.append(f"! {warning}\n", f"not bold {palette().alert}")
    return text.append("\nCommand\n").append(assessment.draft.command(assessment.runs_dir), "not bold")


def about(row: Row | None, assessment: Assessment) -> Text:
    """A setting's key, type, default and meaning, and the problems that it has, or that stand nowhere else."""
    text = Text()
    if row is not None:
        text.append("name" if row.key == RUN_NAME else row.key, "bold").append(f"   {row.kind}", palette().faint)
        if row.default is not None and not row.is_table:
            text.append(f"   default {shown(Row(row.key, 0, row.default, row.node))}", palette().faint)
        text.append(f"\n{row.about}")
    for problem in assessment.problems:
        if assessment.home(problem) in ("", row.key if row is not None else ""):
            text.append(f"\n✗ {problem.line}", palette().alert)
    return text


def _style(assessment: Assessment) -> str:
    """Of figures; faint where they are about something earlier."""
    return "" if assessment.settled and not assessment.costs_problem else palette().faint
