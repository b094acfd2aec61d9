"""Thinning a line out loses no peak, a mean moves nothing, and a run's charts are those it has metrics for."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.report.curves import charts, decimate, smoothed

LINES = st.lists(st.floats(-1e6, 1e6), max_size=400).map(lambda ys: [(float(x), y) for x, y in enumerate(ys)])


@given(LINES, st.integers(5, 60))
def test_what_is_left_looks_the_same(points: list[tuple[float, float]], most: int) -> None:
    kept = list(decimate(points, most))
    assert len(kept) <= max(most, 5)
    assert kept == sorted(set(kept) & set(points))
    if points:
        values = [value for _, value in points]
        assert {min(values), max(values)} <= {value for _, value in kept}
        assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_where_a_line_breaks_it_still_breaks() -> None:
    points = [(float(step), math.nan if 400 <= step < 410 else 1.0) for step in range(1000)]
    kept = decimate(points, 50)
    breaks = [number for number, (_, value) in enumerate(kept) if math.isnan(value)]
    assert breaks
    assert all(math.isfinite(kept[number - 1][1]) and math.isfinite(kept[number + 1][1]) for number in breaks)


@given(LINES)
def test_a_mean_stays_between_the_values(points: list[tuple[float, float]]) -> None:
    mean = smoothed(points)
    assert [step for step, _ in mean] == [step for step, _ in points]
    if points:
        low, high = min(v for _, v in points), max(v for _, v in points)
        assert all(low - 1e-3 <= value <= high + 1e-3 for _, value in mean)


def test_the_mean_of_a_straight_line_is_the_line_but_at_its_end() -> None:
    line = [(float(step), 3.0 * step) for step in range(1000)]
    mean = smoothed(line)
    assert all(math.isclose(a[1], b[1], abs_tol=1e-6) for a, b in zip(mean[:980], line[:980], strict=True))
    assert smoothed([(0.0, math.nan), (1.0, 2.0), (2.0, math.nan)]) == ((1.0, 2.0), (2.0, 2.0))


def test_a_run_that_logged_nothing_has_no_charts() -> None:
    assert charts([], {}) == []
    assert charts([{"attempt": 1, "step": 1, "time": 0.0, "tokens": 8}], {}) == []


def test_charts_are_those_there_are_metrics_for() -> None:
    records = [
        {"step": step, "train/loss": 5.0, "train/total_loss": 5.0, "train/learning_rate/muon": rate,
         "train/learning_rate/lion": rate / 20, "model/expert_load.0.1": 0.5, "model/gain": 1.0}
        for step, rate in ((1, 0.01), (2, 0.02), (3, 0.02))
    ]  # fmt: skip
    found = {chart.title: chart for chart in charts(records, {"xz": 1.5})}
    assert list(found) == ["Loss", "Learning rates", "Model: expert load", "Model: gain"]
    (rates,) = found["Learning rates"].series
    assert rates.name == "muon, lion", "one schedule is one line"
    assert rates.points == ((1.0, 0.5), (2.0, 1.0), (3.0, 1.0))
    assert (
        "muon 0.02; lion 0.001" in found["Learning rates"].note
        or "muon 0.02, lion 0.001" in found["Learning rates"].note
    )
    assert {chart.steps for chart in found.values()} == {(1.0, 3.0)}


def test_a_long_fall_is_left_out_and_said() -> None:
    records = [{"step": step, "train/loss": 3 + 8 * math.exp(-step / 20)} for step in range(1, 2000)]
    (loss,) = charts(records, {})
    assert loss.series[0].points[0][0] > 40
    assert "are left out" in loss.note
    slow = [{"step": step, "train/loss": 11 - step / 250} for step in range(1, 2000)]
    assert charts(slow, {})[0].series[0].points[0][0] == 1


def test_shares_are_not_drawn_among_losses() -> None:
    records = [
        {"step": step, "train/loss": 5.0, "train/total_loss": 4.0, "train/tokens_kept": 0.6, "train/mfu": 0.41}
        for step in (1, 2)
    ]
    found = {chart.title: [series.name for series in chart.series] for chart in charts(records, {})}
    assert found["Terms of the loss"] == ["total loss"]
    assert "Tokens learned from" in found and "Share of the device's peak" in found
