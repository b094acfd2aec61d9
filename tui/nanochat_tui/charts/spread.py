"""What many series that are recorded together come to: of all experts or sub-layers the highest, the mean and the lowest."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite, nan

from nanochat_tui.charts.series import Series


class Spread:
    """Three series over `members`. A record in which one of them is not finite is a hole in all three.

    Members with fewer points than the longest one are left out, for their points belong to other records.
    """

    def __init__(self, members: Sequence[Series]) -> None:
        """Empty until `bring_up_to_date`."""
        self.highest, self.mean, self.lowest = Series(), Series(), Series()
        self._members = members
        self._mark: tuple[int, int, float] | None = None

    @property
    def curves(self) -> tuple[tuple[Series, str], ...]:
        """The series with their labels."""
        return (self.highest, "highest"), (self.mean, "mean"), (self.lowest, "lowest")

    def bring_up_to_date(self) -> None:
        """Take in points that are new; all of them anew where earlier ones changed."""
        longest = max(self._members, key=len)
        together = [member for member in self._members if len(member) == len(longest)]
        done = len(self.mean)
        if self._mark != self._mark_of(longest, together, done):
            for series, _ in self.curves:
                series.rewind(-1)
            done = 0
        places = [longest.places[axis] for axis in ("step", "tokens", "time")]
        for index in range(done, len(longest)):
            step, tokens, seconds = (place[index] for place in places)
            for (series, _), value in zip(self.curves, _of([m.values.values[index] for m in together]), strict=True):
                series.put(int(step), tokens, seconds, value)
        self._mark = self._mark_of(longest, together, len(longest))

    @staticmethod
    def _mark_of(longest: Series, together: Sequence[Series], done: int) -> tuple[int, int, float] | None:
        """What stays the same while points are only appended: each raises version and length by one."""
        steps = longest.places["step"]
        return (len(together), longest.version - len(longest), steps[done - 1]) if 0 < done <= len(steps) else None


def _of(values: Sequence[float]) -> tuple[float, float, float]:
    if not all(map(isfinite, values)):
        return nan, nan, nan
    return max(values), fsum(values) / len(values), min(values)
