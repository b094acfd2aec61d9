"""The laws of a schedule (`contracts.schedule`)."""

from __future__ import annotations

import math
from typing import Any

from nanochat_framework.contracts.schedule import Schedule
from nanochat_framework.testing.configuration import HEAVY, imported
from nanochat_framework.testing.drawn_settings import for_settings
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law

TOTALS = (1, 2, 7, 100)
"""Lengths of the runs below, in steps."""


def built(subject: Subject, total_steps: int, settings: dict[str, Any] | None = None) -> Schedule:
    """The schedule of a run of that length."""
    schedule: Schedule = subject.build(subject.selected(settings).config, total_steps=total_steps)
    return schedule


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `Schedule` that knows its `total_steps`."""
    for total in TOTALS:
        schedule = built(subject, total)
        assert isinstance(schedule, Schedule), f"the factory returns a {type(schedule).__name__}, which is no Schedule"
        assert schedule.total_steps == total, f"total_steps is {schedule.total_steps}, not {total}"


def is_finite_and_not_negative(subject: Subject) -> None:
    """Every multiplier is a finite float and not negative, from step 0 to past the end, for any settings."""

    def check(settings: dict[str, Any]) -> None:
        for total in TOTALS:
            schedule = built(subject, total, settings)
            for step in range(total + 3):
                value = schedule.multiplier(step)
                assert isinstance(value, float | int), f"multiplier({step}) is a {type(value).__name__}"
                assert math.isfinite(value), f"multiplier({step}) of {total} is {value} with {settings}"
                assert value >= 0, f"multiplier({step}) of {total} is {value}, which is negative, with {settings}"

    for_settings(subject, check)


def depends_on_the_step_alone(subject: Subject) -> None:
    """The multiplier is a pure function of the step: asked again, in any order or anew, it is the same. So runs resume."""
    for total in TOTALS:
        steps = range(total + 3)
        schedule = built(subject, total)
        forwards = [schedule.multiplier(step) for step in steps]
        again = [schedule.multiplier(step) for step in steps]
        backwards = [schedule.multiplier(step) for step in reversed(steps)][::-1]
        anew = [built(subject, total).multiplier(step) for step in steps]
        for step, value in enumerate(forwards):
            for how, others in (("a second time", again), ("backwards", backwards), ("after resuming there", anew)):
                assert others[step] == value, (
                    f"multiplier({step}) of {total} is {value}, and {others[step]} when asked {how}"
                )


def stays_at_its_end(subject: Subject) -> None:
    """Past the last step it stays at its last value."""
    for total in TOTALS:
        schedule = built(subject, total)
        last = schedule.multiplier(total)
        for beyond in (1, 2, 10 * total):
            value = schedule.multiplier(total + beyond)
            assert value == last, f"multiplier({total + beyond}) of {total} is {value}, at the end it was {last}"


def is_free_of_torch(subject: Subject) -> None:
    """The implementation imports no torch either: planning draws schedules."""
    module = subject.component.factory.partition(":")[0]
    heavy, _ = imported(module)
    assert not set(heavy) & set(HEAVY), f"importing {module} imports {', '.join(heavy)}"


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            is_finite_and_not_negative,
            depends_on_the_step_alone,
            stays_at_its_end,
            is_free_of_torch,
        ),
    )
)
