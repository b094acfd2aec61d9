"""What a run takes of its machine: read from /proc against what this process knows of itself, and shown."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual.pilot import Pilot

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.status import StatusFile
from nanochat_tui.app import Dashboard
from nanochat_tui.run_screen import RunScreen
from nanochat_tui.system.alerts import described, rule
from nanochat_tui.system.figures import figures, size
from nanochat_tui.system.live import LiveReader
from tests.tui.run_folders import log_steps, make_run, text_of, until

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MONITOR = {"loss_rise": 1.5, "stall_factor": 0, "stall_seconds": 60.0, "disk_free_gb": 2.0}


@linux
def test_readings_of_this_process(tmp_path: Path) -> None:
    reader = LiveReader(os.getpid(), tmp_path)
    first = reader.read()
    assert first is not None and "cpu_cores" not in first, "a rate needs two looks"
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < 0.4:
        sum(range(1000))
    (tmp_path / "written").write_bytes(os.urandom(1 << 20))
    found = reader.read()
    assert found is not None
    share = (time.process_time() - worked) / (time.monotonic() - began)
    assert found["cpu_cores"] == pytest.approx(share, rel=0.2)
    assert found["machine_cpu_cores"] > 0.5 * share
    assert found["threads"] == threading.active_count() or found["threads"] > threading.active_count()
    assert found["disk_free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert found["disk_free_bytes"] < found["disk_total_bytes"]
    assert found["memory_resident_bytes"] < found["memory_total_bytes"]


@linux
def test_the_work_of_a_process_that_it_started_is_its_own(tmp_path: Path) -> None:
    before = LiveReader(os.getpid(), tmp_path).read()
    busy = "import sys; print(flush=True)\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        reader = LiveReader(os.getpid(), tmp_path)
        found = reader.read()
        assert before is not None and found is not None
        assert found["processes"] == before["processes"] + 1
        time.sleep(0.5)
        found = reader.read()
        assert found is not None and found["cpu_cores"] > 0.05, "this process itself only slept"
    finally:
        child.kill()
        child.wait()
    assert LiveReader(child.pid, tmp_path).read() is None, "it is gone"


def test_figures() -> None:
    logged = {
        "cpu_cores": 3.25,
        "memory_available_bytes": 6e8,
        "memory_total_bytes": 64e9,
        "disk_free_bytes": 10e9,
        "gpu_busy_share.0": 0.91,
        "gpu_memory_bytes.0": 40e9,
        "gpu_memory_total_bytes.0": 80e9,
        "gpu_process_memory_bytes.0": 38e9,
        "gpu_power_watts.0": 320.4,
        "gpu_busy_share.10": 0.1,
        "gpu_busy_share.2": 0.2,
    }
    found = [(f.name, f.part, f.text, f.share, f.full) for f in figures(logged)]
    assert found == [
        ("CPU", "process", "3.25 cores", None, False),
        ("memory", "machine", "600 MB left of 64 GB", 1 - 6e8 / 64e9, True),
        ("disk", "run's", "10 GB left", None, False),
        ("GPU 0", "device", "91% busy  320 W", 0.91, False),
        ("GPU 0", "memory", "40 GB of 80 GB", 0.5, False),
        ("GPU 0", "process", "38 GB", 38 / 80, False),
        ("GPU 2", "device", "20% busy", 0.2, False),
        ("GPU 10", "device", "10% busy", 0.1, False),
    ]
    assert size(999) == "999 B" and size(1.5e6) == "1.5 MB"


def test_rules_are_those_of_the_run() -> None:
    assert rule("divergence", MONITOR).startswith("the smoothed loss lies 1.5 above")
    assert rule("stall", MONITOR) == "never: monitor.stall_factor = 0"
    assert rule("of a plugin", MONITOR) == ""
    assert rule("disk", {"disk_free_gb": "much"}) == rule("disk", {}) == "see [monitor]: disk_free_gb"


def test_alerts_of_any_content() -> None:
    events: list[Mapping[str, Any]] = [
        {"kind": "alert", "alert": "disk", "time": "[b]", "step": 1, "message": "a\nb"},
        {"kind": "alert", "time": 1e300, "message": ["[red]"]},
        {"kind": "other"},
    ]
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(described(events, MONITOR))
    text = capture.get()
    assert "! 2 alerts" in text and "a b" in text and "rule: the disk has less than 2 GB left" in text
    assert "[red]" in text


def remote(run: RunDirectory) -> None:
    """It trains on another machine."""
    facts = json.loads(run.status.read_bytes())
    facts |= {"host": "far-away", "boot_id": "another", "pid": 5, "heartbeat": time.time()}
    run.status.write_text(json.dumps(facts))


def drive(run: RunDirectory, act: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (120, 36)) -> None:
    async def session() -> None:
        app = Dashboard(run.path.parent, first=run, seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen), pilot.pause)
            await pilot.press("5")
            await act(pilot)

    asyncio.run(session())


@linux
@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_the_tab_of_a_run_on_this_machine(tmp_path: Path, size: tuple[int, int]) -> None:
    run = make_run(tmp_path / "runs", "here", state="running", step=20)
    log_steps(run, 1, 20)
    events = EventLog(run.events, 1)
    events.write("alert", alert="divergence", step=7, message="the loss has risen to 9.00")
    events.close()

    async def act(pilot: Pilot[Any]) -> None:
        expected = ["threads", f"{os.cpu_count()} cores", f"live: process {os.getpid()} on", "GPU     no readings"]
        expected += ["! 1 alert", "divergence", "the loss has risen"]
        expected += ["memory  bytes"]  # a chart of what was recorded
        await until(lambda: all(part in text_of(pilot.app) for part in expected), pilot.pause)

    drive(run, act, size)


def test_the_tab_of_a_run_elsewhere_says_what_it_cannot_show(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "there", state="running", step=20)
    log_steps(run, 1, 20)
    log = MetricsLog(run.metrics, 1)
    log.write(step=21, tokens=1, values={"system/gpu_busy_share.0": 0.5, "system/gpu_memory_bytes.0": 2e9})
    log.close()
    remote(run)

    async def act(pilot: Pilot[Any]) -> None:
        await until(lambda: "it trains on far-away" in text_of(pilot.app), pilot.pause)
        text = " ".join(text_of(pilot.app).split())
        assert "cannot be seen from here" in text
        assert "50% busy" in text and "GPU share busy" in text
        assert "no alerts; watched is" in text

    drive(run, act, (100, 30))


def test_the_tab_of_a_run_without_readings(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "old", step=20)
    StatusFile(run.status).update(state="finished")

    async def act(pilot: Pilot[Any]) -> None:
        await until(lambda: "finished; no readings were recorded" in text_of(pilot.app), pilot.pause)

    drive(run, act)
