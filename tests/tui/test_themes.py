"""Colours that anybody can tell apart, and a screen without any."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from nanochat_tui import themes
from nanochat_tui.app import Dashboard
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.picture import draw
from nanochat_tui.charts.series import Series
from nanochat_tui.charts.view import View
from nanochat_tui.palette import OKABE_ITO, OKABE_ITO_LIGHT, STATE_SIGNS, TOL, TOL_LIGHT, Palette, palette, sign
from tests.tui.run_folders import log_steps, make_run, text_of, until

PALETTES = {"okabe-ito": OKABE_ITO, "okabe-ito-light": OKABE_ITO_LIGHT, "tol": TOL, "tol-light": TOL_LIGHT}
MACHADO = {  # Machado, Oliveira, Fernandes 2009, severity 1.0; on linear RGB
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def _linear(colour: str) -> tuple[float, ...]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def _lab(linear: tuple[float, ...]) -> tuple[float, float, float]:
    r, g, b = (min(max(part, 0.0), 1.0) for part in linear)
    x, y, z = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _distance(one: str, other: str, kind: str) -> float:
    labs = []
    for colour in (one, other):
        linear = _linear(colour)
        if kind in MACHADO:
            linear = tuple(sum(w * part for w, part in zip(row, linear, strict=True)) for row in MACHADO[kind])
        labs.append(_lab(linear))
    return sum((a - b) ** 2 for a, b in zip(*labs, strict=True)) ** 0.5


def _contrast(one: str, other: str) -> float:
    light, dark = sorted(
        (0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (_linear(one), _linear(other))), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("kind", ["usual", *MACHADO])
def test_curves_are_told_apart_by_any_eye(name: str, kind: str) -> None:
    curves = PALETTES[name].curves
    for (i, one), (j, other) in itertools.combinations(enumerate(curves), 2):
        assert _distance(one, other, kind) > 15, f"{name}: curves {i} and {j}"  # of CIELAB, where 2.3 is just seen


@pytest.mark.parametrize("name", PALETTES)
def test_everything_stands_out_from_its_background(name: str) -> None:
    colours: Palette = PALETTES[name]
    background = next(theme for theme in themes.own() if theme.name == name).background
    assert background is not None
    for colour in (*colours.curves, colours.alert, colours.good, colours.busy, colours.waiting, colours.ended):
        assert _contrast(colour, background) >= 2.7, colour
    assert _contrast(colours.faint, background) >= 2.7


def test_states_have_signs_of_their_own() -> None:
    assert len({mark for mark, _ in STATE_SIGNS.values()}) == len(STATE_SIGNS)
    assert sign("of a later version")[0] == "·"


def test_the_palette_goes_with_the_theme(tmp_path: Path) -> None:
    for name, days in (("first", 1), ("under-no-cursor", 2)):
        log_steps(make_run(tmp_path, name, state="failed", step=20, days=days), 1, 20)

    def colours(app: Dashboard) -> set[str]:
        strips = app.screen._compositor.render_strips()
        return {s.style.color.name for strip in strips for s in strip if s.style and s.style.color}

    def seen(screen: str) -> str:
        return palette().alert if screen == "runs" else palette().curves[0]

    async def session() -> None:
        app = Dashboard(tmp_path)
        async with app.run_test(size=(100, 30)) as pilot:
            for screen in ("runs", "run"):
                for name in ("okabe-ito", "tol-light", "dracula", "solarized-light"):
                    app.theme = name
                    await until(lambda: seen(screen) in colours(app), pilot.pause)  # noqa: B023
                await pilot.press("enter")
                await until(lambda: "gradient norm" in text_of(app), pilot.pause)

    asyncio.run(session())


def test_without_colour() -> None:
    white_on_blue = Style(color="#ffffff", bgcolor="#ffffff", bold=True)
    grey = Style(color="#666666", bgcolor="#000000")
    found = themes.WithoutColour().apply(
        [Segment("a", white_on_blue), Segment("b", grey), Segment("c", None)], Color(0, 0, 0)
    )
    assert [s.style for s in found] == [Style(bold=True, reverse=True), Style(dim=True), None]
    assert all(s.style is None or (s.style.color is None and s.style.bgcolor is None) for s in found)


def test_lines_are_told_apart_by_dashes() -> None:
    curves = []
    for number in range(3):
        series = Series()
        for step in range(100):
            series.put(step, step, step, float(number))
        curves.append(Curve(series, f"c{number}"))
    rows = draw(curves, 80, 12, View(), title="t", dashed=True).text().splitlines()
    drawn = [row for row in rows[1:-2] if any("⠀" < c <= "⣿" for c in row)]
    fills = [sum("⠀" < c <= "⣿" for c in row.split("c")[0]) for row in drawn]
    assert len(drawn) == 3 and len(set(fills)) >= 2
    shapes = {"".join(c for c in row if "⠀" < c <= "⣿" or c == " ")[20:40] for row in drawn}
    assert len(shapes) == 3, "no two lines look alike"
    assert sum(any("⠀" < c <= "⣿" for c in part) for part in rows[0].split("c")) >= 3, "the legend shows them"


def test_no_colour_on_a_real_terminal(tmp_path: Path) -> None:
    """NO_COLOR: of all that is written to the terminal nothing sets a colour, and the cursor's row is in reverse video."""
    run = make_run(tmp_path / "runs", "first", state="failed", step=20)
    log_steps(run, 1, 20)
    main, other = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TEXTUAL")}
    environment |= {
        "NO_COLOR": "1",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": "100",
        "LINES": "30",
    }
    environment |= {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "nanochat_framework", "tui", "--runs-dir", str(run.path.parent)]
    child = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True)
    os.close(other)
    written = b""

    def read_until(text: bytes) -> None:
        nonlocal written
        deadline = time.monotonic() + 30
        while text not in written:
            assert time.monotonic() < deadline, written[-2000:]
            if select.select([main], [], [], 0.1)[0]:
                written += os.read(main, 1 << 16)

    try:
        read_until("✗ failed".encode())
        os.write(main, b"\r")
        read_until(b"gradient norm")
        read_until("⣀".encode())
        os.write(main, b"q")
        read_until(b"\x1b[?1049l")
    finally:
        child.kill()
        child.wait()
        os.close(main)
    codes = {code for found in re.findall(rb"\x1b\[([\d;]*)m", written) for code in found.decode().split(";")}
    assert codes <= {"", "0", "1", "2", "3", "4", "7", "9"}, "only bold, dim, italic, underlined, reverse and struck"
    assert "7" in codes
