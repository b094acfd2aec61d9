"""Plugins' panels, called by a process of their own: good ones, and all the ways of being bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.plugins.panels import MOST_LINES
from tests.plugins.place import Place
from tests.tui.run_folders import make_run

GOOD = """
    from nanochat_framework.plugins import Panel, hookimpl

    NANOCHAT_PLUGIN_API = 1

    def lines(folder):
        told = folder / "told.txt"
        return told.read_text().splitlines() if told.exists() else ["nothing was told"]

    @hookimpl
    def nanochat_panels():
        return [Panel("acme/told", "What was told", lines)]
"""

BAD = """
    import os, subprocess, sys, time
    from nanochat_framework.plugins import Panel, hookimpl

    NANOCHAT_PLUGIN_API = 1

    def prints(folder):
        print("to stdout"); sys.stdout.flush(); os.write(1, b"below it"); subprocess.run(["echo", "from a child"])
        return ["printed"]

    def torch(folder):
        import torch
        return [torch.__version__]

    def dead(folder):
        raise SystemExit("in a panel")

    def endless(folder):
        while True:
            yield "x" * 5000

    @hookimpl
    def nanochat_panels():
        return [
            Panel("bad/prints", "Prints", prints),
            Panel("bad/torch", "Torch", torch),
            Panel("bad/dead", "Dead", dead),
            Panel("bad/endless", "Endless", endless),
            Panel("bad/number", "Number", lambda folder: [1]),
            Panel("bad/none", "None", lambda folder: None),
            Panel("bad/text", "Text", lambda folder: "one\\ntwo"),
            Panel("bad/hangs", "Hangs", lambda folder: time.sleep(1000)),
        ]
"""

HOPELESS = """
    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_panels():
        return ["no panel"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("panels"))
    place.install("good", __init__=GOOD)
    place.install("bad", __init__=BAD)
    place.install("hopeless", __init__=HOPELESS)
    make_run(place.folder / "runs", "x")
    return place


def test_each_is_its_own_trouble(place: Place) -> None:
    done = place.nanochat("plugins", "panels", "x", "--runs-dir", str(place.folder / "runs"), "--json")
    assert done.code == 0, done.stderr
    texts = {text["name"]: text for text in json.loads(done.stdout)}
    assert texts["acme/told"]["lines"] == ["nothing was told"] and texts["acme/told"]["title"] == "What was told"
    assert texts["bad/prints"]["lines"] == ["printed"]
    assert "a panel must not import torch" in texts["bad/torch"]["error"]
    assert texts["bad/dead"]["error"].startswith("SystemExit: in a panel (")
    assert len(texts["bad/endless"]["lines"]) == MOST_LINES + 1 and len(texts["bad/endless"]["lines"][0]) == 400
    assert "strings, not int" in texts["bad/number"]["error"] and "NoneType" in texts["bad/none"]["error"]
    assert texts["bad/text"]["lines"] == ["one", "two"]
    assert texts["bad/hangs"]["late"] and not texts["bad/told" if "bad/told" in texts else "bad/hangs"]["lines"]
    assert texts["nanochat_panels"]["plugin"] == "hopeless" and "no Panel" in texts["nanochat_panels"]["error"]


def test_as_text(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "good")
    done = place.nanochat("plugins", "panels", "x", "--runs-dir", str(place.folder / "runs"))
    assert done.stdout == "What was told  (acme/told of good)\n  nothing was told\n"
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    done = place.nanochat("plugins", "panels", "x", "--runs-dir", str(place.folder / "runs"))
    assert done.stdout == "" and done.stderr == "no plugin has a panel\n" and done.code == 0
    assert place.nanochat("plugins", "panels", "y", "--runs-dir", str(place.folder / "runs")).code == 2


def test_following_tells_what_changed(place: Place) -> None:
    command = [
        sys.executable,
        "-m",
        "nanochat_framework",
        "plugins",
        "panels",
        str(place.folder / "runs/x"),
        "-f",
        "--json",
    ]
    environ = {**os.environ, "PYTHONPATH": str(place.folder), "NANOCHAT_LOAD_PLUGINS": "good"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    try:
        texts = _texts(process)
        assert next(texts)["lines"] == ["nothing was told"]
        (place.folder / "runs/x/told.txt").write_text("one\ntwo\n")
        assert next(texts)["lines"] == ["one", "two"]
    finally:
        process.kill()
        process.communicate()


def _texts(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def test_following_ends_where_there_is_none(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    done = place.nanochat("plugins", "panels", str(place.folder / "runs/x"), "--follow", "--json")
    assert (done.code, done.stdout) == (0, "")
