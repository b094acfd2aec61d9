"""Keys of one's own: checked as they are read, and pressed on a screen."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanochat_tui.app import Dashboard
from nanochat_tui.dialogs import Help
from nanochat_tui.keymap import as_toml, checked
from nanochat_tui.keys import KEYS, choose, hint
from nanochat_tui.launch.pick import PickScreen
from nanochat_tui.settings import Settings, read_settings
from tests.tui.run_folders import make_run, text_of, until


@pytest.fixture(autouse=True)
def _our_keys_again() -> Iterator[None]:
    yield
    choose({})


def test_names_are_told_apart_on_every_screen() -> None:
    for screen in {screen for key in KEYS for screen in key.where}:
        rows = [key for key in KEYS if screen in key.where]
        actions: dict[str, str] = {}
        for row in rows:
            assert actions.setdefault(row.name, row.action) == row.action, "one name, one action"
        assert len({row.key for row in rows}) == len(rows), f"two actions with one key ({screen})"


def test_the_printed_table_is_what_is_read() -> None:
    table = tomllib.loads(as_toml())["keys"]
    assert set(table) == {key.name for key in KEYS}
    keys, notes = checked(table)
    assert notes == []
    assert {name: found[0] for name, found in keys.items()} == {key.name: key.key for key in KEYS}


def test_two_actions_change_places() -> None:
    assert checked({"pause": "x", "stop": "p"}) == ({"pause": ("x",), "stop": ("p",)}, [])


@pytest.mark.parametrize(
    ("wanted", "note"),
    [
        ({"pause": "x"}, "keys.pause: x is stop already (run)"),
        ({"pause": ["P", "?"]}, "keys.pause: ? is help already (run)"),
        ({"pasue": "P"}, "keys.pasue: no such action; pause? (nanochat tui --keys)"),
        ({"pause": "ctrl+c"}, "keys.pause: ctrl+c copies already"),
        ({"pause": "pp"}, "keys.pause: 'pp' is no key; like p, P, f5, ctrl+r, space, /"),
        ({"pause": ""}, 'keys.pause: a key, or a list of keys, is wanted: "p", ["p", "f5"]'),
        ({"pause": 5}, 'keys.pause: a key, or a list of keys, is wanted: "p", ["p", "f5"]'),
        ({"tab_log": "z", "tab_events": "z"}, "keys.tab_events: z is tab_log already (run)"),
    ],
)
def test_what_will_not_do_is_told_in_a_line(wanted: dict[str, object], note: str) -> None:
    keys, notes = checked(wanted)
    assert [line for line in notes if line.split(" is ")[0] == note.split(" is ")[0]] == notes
    assert len(notes) == 1 and notes[0].startswith(note.partition(" (")[0])
    assert all(name == "tab_log" for name in keys), "the default stays"


def test_a_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "tui.toml"
    assert read_settings(file) == Settings()
    file.write_text('theme = "tol"\nfast = true\n[keys]\npause = "P"\nnope = "x"\n')
    found = read_settings(file)
    assert (found.theme, found.keys) == ("tol", {"pause": ("P",)})
    assert [note.removeprefix(f"{file}: ").split(":")[0] for note in found.notes] == ["fast", "keys.nope"]
    file.write_text('theme = "tool"\n')
    assert "theme 'tool': there is none; tol?" in read_settings(file).notes[0]
    for damage in (b"\xff\xfe", b"[keys", b"theme = 3\nkeys = 4"):
        file.write_bytes(damage)
        found = read_settings(file)
        assert found.notes and all("\n" not in note for note in found.notes) and not found.keys
    file.unlink()
    file.mkdir()
    assert "cannot be read" in read_settings(file).notes[0]


def test_keys_of_ones_own_are_pressed_and_shown(tmp_path: Path) -> None:
    make_run(tmp_path, "one")
    keys, notes = checked({"new": "N", "help": ["f1", "h"], "sort": "ctrl+s"})
    assert notes == []

    async def session() -> None:
        app = Dashboard(tmp_path, settings=Settings(keys=keys, notes=["tui.toml: keys.x: no such action"]))
        async with app.run_test(size=(100, 40)) as pilot:
            await until(lambda: "one" in text_of(app), pilot.pause)
            assert any("no such action" in n.message for n in app._notifications)
            await pilot.press("n")
            assert app.screen is app.runs_screen, "it is the key of nothing now"
            await pilot.press("N")
            await until(lambda: isinstance(app.screen, PickScreen), pilot.pause)
            await pilot.press("escape", "h")
            await until(lambda: isinstance(app.screen, Help), pilot.pause)
            await until(lambda: "f1 h  these keys" in text_of(app), pilot.pause)
            assert "N  put a training together" in text_of(app) and "ctrl+s  sort" in text_of(app)
            await pilot.press("escape")
            await until(lambda: "N new run" in text_of(app), pilot.pause)
            assert hint("new") == "N"
            before = [run.name for run in app.runs_screen.ordered()]
            await pilot.press("ctrl+s")
            assert app.runs_screen._sort is not None and before

    asyncio.run(session())
