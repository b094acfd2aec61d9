"""`nanochat plugins check` with distributions that are wrong in one way each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.cli import main

Install = Callable[..., None]

INIT = """
from nanochat_framework.plugins import hookimpl
NANOCHAT_PLUGIN_API = {api}
{top}
@hookimpl
def nanochat_register(registrar):
    registrar.schedule("{name}", config=".config:C", factory=".impl:{factory}", summary="s")
"""
CONFIG = """
from pydantic import Field
from nanochat_framework.config.component import ComponentConfig
class C(ComponentConfig):
    ratio: float = {field}
"""
IMPL = """
from nanochat_framework.contracts.schedule import Schedule
{top}
class S(Schedule):
    def multiplier(self, step):
        return {value}
def build(config, *, total_steps):
    return S(total_steps)
"""
DESCRIBED = 'Field(default=0.5, description="Share that is left at the end.")'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin `mine` with a schedule; every part of it can be made wrong."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(
        module: str,
        *,
        plugin: str = "mine",
        name: str = "jo/s",
        factory: str = "build",
        api: int = 1,
        top: str = "",
        field: str = DESCRIBED,
        value: str = "1.0",
        impl_top: str = "",
        config: str = CONFIG,
    ) -> None:
        package = tmp_path / module
        package.mkdir()
        (package / "__init__.py").write_text(INIT.format(api=api, top=top, name=name, factory=factory))
        (package / "config.py").write_text(config.format(field=field))
        (package / "impl.py").write_text(IMPL.format(top=impl_top, value=value))
        info = tmp_path / f"dist_{module}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{module}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[nanochat]\n{plugin} = {module}\n")

    return make


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, object]]]:
    code = main(["plugins", "check", "mine", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_a_good_one(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("good_one")
    code, (row,) = check(capsys, "--full")
    assert (code, row["ok"], row["wrong"], row["kind"], row["name"]) == (0, True, [], "schedule", "jo/s")
    quick = check(capsys)[1][0]["laws"]
    assert isinstance(quick, int) and isinstance(row["laws"], int) and 0 < quick < row["laws"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"top": "import no_such_package"}, "No module named 'no_such_package' (PATH/__init__.py:4)"),
        ({"top": "def ("}, "failed: SyntaxError: "),
        ({"impl_top": "raise ValueError('no')"}, "factory MODULE.impl:build: ValueError: no (PATH/impl.py:3)"),
        ({"impl_top": "print('data?'); raise SystemExit(3)"}, "factory MODULE.impl:build: SystemExit: 3 (PATH/impl.py:3)"),
        ({"factory": "bild"}, "factory MODULE.impl:bild: AttributeError: module 'MODULE.impl' has no attribute 'bild'"),
        ({"config": "import os\n1 / 0\n"}, "config MODULE.config:C: ZeroDivisionError: division by zero (PATH/config.py:2)"),
        ({"config": "import torch\n" + CONFIG}, "importing MODULE.config imports torch"),
        ({"field": "0.5"}, "the field 'ratio' has no description"),
        ({"api": 7}, "incompatible: written for plugin API 7, this is 1; update one of the two"),
        ({"name": "wsd"}, "failed: schedule 'wsd' is registered by both"),
        ({"top": "import sys; sys.modules['numpy'] = sys.modules.pop('numpy_before')"}, "for it imports numpy; import them in"),
    ],
    ids=["import", "syntax", "factory", "exit", "attribute", "config", "heavy config", "description", "api", "name", "heavy"],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    wrong: dict[str, str],
    message: str,
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "bad_" + request.node.callspec.id.replace(" ", "_")
    if "numpy_before" in wrong.get("top", ""):  # as if this plugin were the first to import it
        monkeypatch.setitem(sys.modules, "numpy_before", sys.modules["numpy"])
        monkeypatch.delitem(sys.modules, "numpy")
    install(module, **wrong)
    code, rows = check(capsys)
    assert code == 1
    expected = message.replace("MODULE", module).replace("PATH", str(tmp_path / module))
    found = [line for row in rows for line in row["wrong"]]  # type: ignore[attr-defined]
    assert any(expected in line for line in found), found
    assert all("\n" not in line for line in found)


def test_two_of_one_name_are_told_apart_by_their_distributions(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("first_of_two", name="jo/a")
    install("second_of_two", name="jo/b")
    code, rows = check(capsys)
    assert code == 1
    assert [row["wrong"] for row in rows] == [[], ["shadowed: its name is already taken by dist-first_of_two 0.3"]]


def test_one_component_claimed_twice(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("claims_one")
    install("claims_it_too", plugin="other")
    code, (row,) = check(capsys)
    assert (code, row["wrong"]) == (1, ["failed: schedule 'jo/s' is also claimed by dist-claims_it_too"])


def test_a_slow_import_is_told_with_its_seconds(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("slow_one", top="import time; time.sleep(1.05)")
    code, rows = check(capsys)
    assert code == 0
    (note,) = rows[0]["notes"]  # type: ignore[misc]
    assert note.startswith("slow: its import takes 1.") and note.endswith(" s of every command")


def test_every_law_is_checked_with_full(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("negative", value="-1.0")
    assert check(capsys)[0] == 0, "what a schedule gives is no law of its settings"
    code, (row,) = check(capsys, "--full")
    assert code == 1 and "schedule jo/s breaks the law" in str(row["wrong"])


def test_the_table(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("in_a_table", field="0.5")
    assert main(["plugins", "check", "dist-in_a_table"]) == 1
    out, err = capsys.readouterr()
    header, row = out.splitlines()
    assert header.split() == ["plugin", "kind", "component", "laws", "ok,", "or", "what", "is", "wrong"]
    assert row.startswith("mine    schedule  jo/s") and "the field 'ratio' has no description" in row
    assert err == "0 of 1 are ok\n"


def test_a_name_that_nobody_has(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("named_well")
    assert main(["plugins", "check", "mime"]) == 2
    assert "no plugin 'mime' is installed in this environment; did you mean 'mine'?" in capsys.readouterr().err
