"""Laws of panels: what the dashboard asks of a plugin that has some."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.panels import LATE_SECONDS, MOST_LINES
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.testing.suite import BrokenContract

N_LAWS = 5
_NAME = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*\Z")
_LONGEST_TITLE = 60


def check_panels(owner: str) -> None:
    """Call the panels of a plugin, or of a distribution, as the dashboard does.

    There are two runs, one that has just begun and one that has finished.

    1. Names are `vendor/name`. 2. Titles are a line of 60 characters at most. 3. They answer within LATE_SECONDS, without an
    error and without torch. 4. Lines are plain text without control characters, MOST_LINES at most. 5. The run's files are
    left as they are.

    Raises BrokenContract, an AssertionError with a line for each mistake, and UsageError where the plugin has no panel.
    """
    errors: dict[str, BaseException] = {}
    with TemporaryDirectory() as folder:
        for name in ("begun", "finished"):
            run = _run(Path(folder), name, records=name == "finished")
            before = _content(run.path)
            for text in _asked(owner, run.path):
                for mistake in _mistakes(text):
                    errors.setdefault(
                        mistake, AssertionError(f"{text['name']}, on a run that has just {name}: {mistake}")
                    )
            if _content(run.path) != before:
                errors["files"] = AssertionError("the run's files are not as they were: a panel only reads")
    if errors:
        raise BrokenContract(f"the panels of {owner}", errors)


def _asked(owner: str, run: Path) -> list[dict[str, Any]]:
    environ = {**os.environ, "NANOCHAT_LOAD_PLUGINS": owner}
    command = [sys.executable, "-m", "nanochat_framework", "plugins", "panels", str(run), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UsageError(f"{owner}: its panels end the process that calls them, with code {done.returncode}")
    texts: list[dict[str, Any]] = json.loads(done.stdout)
    if not texts:
        raise UsageError(f"no panel of {owner!r} was found; `nanochat plugins list` shows which plugins have the hook")
    return texts


def _mistakes(text: Mapping[str, Any]) -> list[str]:
    """What is wrong with what a panel shows."""
    found = []
    if text["error"]:
        return [f"it raised {text['error']}"]
    if text["late"]:
        found.append(f"it gave no answer within {LATE_SECONDS:g} s")
    if not _NAME.match(text["name"]):
        found.append(f"its name is to be vendor/name, in lower case, and is {text['name']!r}")
    if not text["title"].strip() or len(text["title"]) > _LONGEST_TITLE or not text["title"].isprintable():
        found.append(f"its title is to be a line of at most {_LONGEST_TITLE} characters")
    if len(text["lines"]) > MOST_LINES:
        found.append(f"it shows more than {MOST_LINES} lines")
    odd = next((line for line in text["lines"] if not line.isprintable()), None)
    if odd is not None:
        found.append(f"a line is plain text without control characters, and one is {odd!r:.80}")
    return found


def _run(folder: Path, name: str, *, records: bool) -> RunDirectory:
    """A run's folder, as a training leaves it in its first second, or after ten steps."""
    config = {"model": {"name": "decoder"}, "train": {"steps": 10}}
    run = RunDirectory.create(
        folder, name, sources=[("x.toml", b"")], resolved=config, components_lock=[], overrides=[], argv=["nanochat"]
    )
    status = StatusFile(run.status)
    status.update(state="starting", step=0, total_steps=10, attempt=1)
    if records:
        events, metrics = EventLog(run.events, 1), MetricsLog(run.metrics, 1)
        events.write("started", rewound_to=0)
        for step in range(1, 11):
            metrics.write(step=step, tokens=100 * step, values={"train/loss": 5.0 / step, "train/grad_norm": 1.0})
        events.write("finished", step=10)
        events.close()
        metrics.close()
        status.update(state="finished", step=10, tokens=1000)
    return run


def _content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
