"""What the commands have said of a draft so far, which may be about an earlier state of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.directory import check_free
from nanochat_framework.runs.summary import RunSummary
from nanochat_tui.launch.catalogue import Row
from nanochat_tui.launch.checking import Planner, Problem, Verdict, check, known_speed
from nanochat_tui.launch.draft import Draft, nested

RUN_NAME = "run name"
"""The key of the one row that is no setting."""


class Assessment:
    """Problems, values and costs of a draft, and whether they are about the draft as it is."""

    def __init__(self, draft: Draft, runs_dir: Path) -> None:
        self.draft, self.runs_dir = draft, runs_dir
        self.verdict = Verdict((), (), ())
        self.costs: list[tuple[str, str]] = []
        self.costs_problem = ""
        """Why there is no newer estimate."""
        self.rows: Sequence[Row] = ()
        """Where problems can stand."""
        self._planner = Planner()
        self._checked_on: dict[str, str] | None = None
        self._planned_on: dict[str, str] | None = None

    async def check(self) -> None:
        """Check the draft; a command that fails is a problem like any other."""
        on = dict(self.draft.changes)
        try:
            verdict = await check(self.draft)
        except NanochatError as error:
            self.fail(error, on)
        else:
            self.take(verdict, on)

    def fail(self, error: NanochatError, on: Mapping[str, str]) -> None:
        """A command said nothing of the draft with these changes but why it failed."""
        self.take(Verdict((Problem("", str(error), str(error)),), (), ()), on)

    def take(self, verdict: Verdict, on: Mapping[str, str]) -> None:
        """Take over what was said of the draft with these changes."""
        self.verdict, self._checked_on = verdict, dict(on)

    async def plan(self, runs: Sequence[RunSummary], data: Mapping[str, Any]) -> None:
        """Estimate what the draft costs; nothing is planned of one that has problems."""
        on = dict(self.draft.changes)
        if self.verdict.problems:
            self.costs_problem = "an estimate comes as soon as all is well"
        else:
            try:
                self.costs = await self._planner.estimate(self.draft, known_speed(runs, data))
                self.costs_problem = ""
            except NanochatError as error:
                self.costs_problem = str(error)
        self._planned_on = on

    @property
    def checked(self) -> bool:
        """Whether the verdict is about the draft as it is."""
        return self._checked_on == self.draft.changes

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come for the draft as it is."""
        return self.checked and self._planned_on == self.draft.changes

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, as far as it is known; of the run's name too."""
        return (*self._of_the_name(), *self.verdict.problems)

    def _of_the_name(self) -> tuple[Problem, ...]:
        if self.draft.name:
            try:
                check_free(self.runs_dir, self.draft.name)
            except UsageError as error:
                return (Problem(RUN_NAME, str(error), str(error)),)
        return ()

    def data(self) -> dict[str, Any]:
        """The configuration: as it was resolved, or as far as it can be told before that."""
        if self.checked and self.verdict.values:
            return nested({row["key"]: row["value"] for row in self.verdict.values})
        return self.draft.data()

    def home(self, problem: Problem) -> str:
        """The row where a problem stands, else the table that it is in; empty for one of the file as a whole."""
        known = {row.key for row in self.rows} | {RUN_NAME}
        key = problem.key
        while key and key not in known:
            key = key.rpartition(".")[0]
        return key

    def wrong(self) -> dict[str, str]:
        """Row -> what is wrong there."""
        found: dict[str, str] = {}
        for problem in self.problems:
            found.setdefault(self.home(problem), problem.message)
        found.pop("", None)
        return found
