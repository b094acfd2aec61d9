"""Draws the pictures of the dashboard in docs/images from real runs.

    python docs/images/screens.py runs

Opens the dashboard on the folder `runs`, which has to have three, presses keys as a person would, and writes each screen as
an SVG of its own. The oldest run is the one that is looked at, all are compared. Needs the extra `tui`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.app import Dashboard

FOLDER = Path(__file__).parent
SIZE = (120, 34)
PATIENCE_SECONDS = 180.0
LAST = ("ctrl+end",)
"""Puts the cursor on the oldest run."""


@dataclass(frozen=True)
class Scene:
    """A picture: its file's name, the keys that lead to it from all runs, and a text that shows that it is there."""

    name: str
    keys: tuple[str, ...]
    shows: str


def scenes() -> list[Scene]:
    """Every screen, in the order of the documentation."""
    return [
        Scene("runs", (), "finished"),
        Scene("run", (*LAST, "enter", "o"), "bits per byte"),
        Scene("samples", (*LAST, "enter", "3"), "step"),
        Scene("system", (*LAST, "enter", "5"), "alerts"),
        Scene("form", ("n", *"tiny-cpu", "enter"), "memory"),
        Scene("compare", ("space", "space", "space", "C", "o"), "compare 3 runs"),
        Scene("compare-metrics", ("space", "space", "space", "C", "3"), "eval/"),
        Scene("checkpoints", (*LAST, "k"), "step_"),
        Scene("export", (*LAST, "k", "E"), "gguf"),
        Scene("talk", (*LAST, "g", "enter", *"import os", "enter"), "tokens/s"),
        Scene("components", ("b",), "plugins"),
        Scene("help", ("question_mark",), "sort by the next column"),
    ]


def visible(app: Dashboard) -> str:
    """The screen as text."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def draw(scene: Scene, runs_dir: Path) -> None:
    """Write one picture."""
    os.environ.update(XDG_CONFIG_HOME=os.devnull, XDG_STATE_HOME=os.devnull)  # nobody's own colours and layout
    app = Dashboard(runs_dir, seconds=0.1)
    async with app.run_test(size=SIZE) as pilot:
        await _until(lambda: "●" in visible(app) or "finished" in visible(app), pilot.pause, scene)
        for key in scene.keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await _until(lambda: scene.shows in visible(app), pilot.pause, scene)
        await pilot.pause(1.0)
        path = FOLDER / f"dashboard-{scene.name}.svg"
        path.write_text(_alone(app.export_screenshot(title="nanochat tui")), encoding="utf-8")
        print(path)


async def _until(what: Callable[[], bool], pause: Callable[[float], Awaitable[None]], scene: Scene) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit(f"{scene.name}: the screen does not show {scene.shows!r}")
        await pause(0.1)


def _alone(svg: str) -> str:
    """The picture with fonts of the reader's own machine: it asks no other machine for anything."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


def main() -> None:
    """Draw them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs_dir", type=Path, help="folder of runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these pictures")
    arguments = parser.parse_args()
    if not RunDirectory.all(arguments.runs_dir):
        raise SystemExit(f"{arguments.runs_dir}: no runs")
    for scene in scenes():
        if not arguments.only or scene.name in arguments.only:
            asyncio.run(draw(scene, arguments.runs_dir))


if __name__ == "__main__":
    main()
