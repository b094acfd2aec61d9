"""What the person sees of plugins that cannot be used: one line each, in the listing and before the work of a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugins.place import Place, Trained

PLUGIN = """
    from nanochat_framework.plugins import hookimpl
    {top}
    NANOCHAT_PLUGIN_API = {api}

    @hookimpl
    def nanochat_register(registrar):
        registrar.schedule("{name}", config="nanochat_framework.config.component:ComponentConfig",
                           factory=".implementation:build", summary="a schedule")
"""
ONLY_HOOKS = """
    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_step(step):
        pass
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("plugins"))
    for name, top, api, component in (
        ("fine", "", 1, "fine/x"),
        ("future", "", 2, "future/x"),
        ("greedy", "", 1, "wsd"),
        ("sleepy", "import time; time.sleep(2.2)", 1, "sleepy/x"),
        ("twin_a", "", 1, "twins/x"),
        ("twin_b", "", 1, "twins/x"),
    ):
        place.install(name, __init__=PLUGIN.format(top=top, api=api, name=component))
    place.install("hooked", __init__=ONLY_HOOKS)
    return place


@pytest.fixture(scope="module")
def listing(place: Place) -> Trained:
    return place.nanochat("plugins", "list")


LINES = {
    "fine": ("ok", "1"),
    "future": ("incompatible", "written for plugin API 2, this is 1; update one of the two"),
    "greedy": (
        "failed",
        "schedule 'wsd' is registered by both schedules (nanochat-framework 0.1.0) and greedy (plugin-greedy 0.3); "
        "a built-in cannot be replaced, use a vendor/name",
    ),
    "sleepy": ("ok", "1"),
    "twin_a": ("failed", "schedule 'twins/x' is also claimed by plugin-twin_b"),
    "twin_b": ("failed", "schedule 'twins/x' is also claimed by plugin-twin_a"),
    "hooked": ("ok", "0 and 1 event hook"),
}


@pytest.mark.parametrize("name", LINES)
def test_each_has_its_line(listing: Trained, name: str) -> None:
    (line,) = (line for line in listing.stdout.splitlines() if line.startswith(f"{name} "))
    assert line.split()[1] == LINES[name][0]
    assert line.endswith(f"  {LINES[name][1]}")


def test_a_slow_import_has_its_time(listing: Trained) -> None:
    (line,) = (line for line in listing.stdout.splitlines() if line.startswith("sleepy "))
    seconds, unit = line.split()[4:6]
    assert unit == "s" and 2.2 <= float(seconds) < 60


def test_every_command_names_them_on_stderr(place: Place, tmp_path: Path) -> None:
    done = place.nanochat("components", "list", "schedule", "--json")
    assert {row["name"] for row in json.loads(done.stdout)} >= {"wsd", "fine/x", "sleepy/x"}
    lines = done.stderr.splitlines()
    assert [line.split()[2] for line in lines] == ["future", "greedy", "twin_a", "twin_b", "sleepy"]
    assert all(line.startswith("warning: plugin ") and line.endswith(" (`nanochat plugins list`)") for line in lines)
    assert "sleepy takes 2." in lines[-1] and "s to import; every command waits for it" in lines[-1]


def test_what_a_configuration_names_of_a_plugin_that_did_not_load_is_explained(place: Place) -> None:
    done = place.nanochat("components", "show", "schedule", "future/x")
    assert done.code == 4
    assert "future is incompatible: written for plugin API 2" in done.stderr
    done = place.nanochat("components", "show", "schedule", "twins/x")
    assert "schedule 'twins/x' is claimed by twin_a (plugin-twin_a 0.3) and twin_b (plugin-twin_b 0.3)" in done.stderr


def test_a_plugin_that_only_listens_is_in_order(place: Place) -> None:
    done = place.nanochat("plugins", "check", "hooked")
    assert done.code == 0
    assert "registers no component" not in done.stdout
