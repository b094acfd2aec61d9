"""`nanochat plugins new`: names, what is refused, and files that pass the checks that ours pass."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import KINDS
from nanochat_framework.plugins.scaffold import SAME_FOLDER, TEMPLATES, NewPlugin
from tests.conftest import REPOSITORY

NAMES = [("a", "x"), ("vendor_of_length_20x", "component_length_20x")]


def test_every_kind_has_a_template() -> None:
    folders = {path.name for path in TEMPLATES.iterdir()} - {"common", "__pycache__"}
    assert folders == set(KINDS) - set(SAME_FOLDER)


@pytest.mark.parametrize("kind", KINDS)
def test_no_placeholder_is_left(kind: str) -> None:
    plugin = NewPlugin(kind, "jo", "it")
    files = plugin.files()
    for name, content in files.items():
        for word in ("acme", "widget", "Widget", "SUMMARY", "USE"):
            assert word not in content and word not in name, f"{word} is left in {name}"
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == "nanochat-jo-it"
    assert project["project"]["entry-points"]["nanochat"] == {"jo_it": "nanochat_jo_it"}
    assert {"README.md", ".gitignore", "tests/test_contract.py", "tests/test_it.py"} <= files.keys()
    assert {"nanochat_jo_it/__init__.py", "nanochat_jo_it/it.py", "nanochat_jo_it/py.typed"} <= files.keys()


def test_a_name_that_contains_a_placeholder_stays_whole() -> None:
    files = NewPlugin("optimizer", "acme_widget", "widget_acme").files()
    assert (
        'registrar.optimizer(\n        "acme_widget/widget_acme"'
        in files["nanochat_acme_widget_widget_acme/__init__.py"]
    )
    assert "class WidgetAcmeConfig(" in files["nanochat_acme_widget_widget_acme/config.py"]


def _ruff(*arguments: str) -> subprocess.CompletedProcess[str]:
    if find_spec("ruff") is None:
        pytest.skip("ruff is not installed (pip install -e '.[dev]')")
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("vendor", "name"), NAMES)
def test_what_is_written_passes_ruff(vendor: str, name: str, tmp_path: Path) -> None:
    for kind in KINDS:
        NewPlugin(kind, vendor, name).write(_made(tmp_path / kind))
    for arguments in (["check"], ["check", "--config", str(REPOSITORY / "pyproject.toml")], ["format", "--check"]):
        done = _ruff(*arguments, "--no-cache", str(tmp_path))
        assert done.returncode == 0, done.stdout


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Fast", "--kind", "optimizer"], "NAME 'Fast': use lower-case letters"),
        (["fast-sgd", "--kind", "optimizer"], "NAME 'fast-sgd': use lower-case letters"),
        (["fast__sgd", "--kind", "optimizer"], "NAME 'fast__sgd': use lower-case letters"),
        (["../up", "--kind", "optimizer"], "NAME '../up': use lower-case letters"),
        (["x" * 21, "--kind", "optimizer"], "at most 20 characters"),
        (["lambda", "--kind", "optimizer"], "NAME 'lambda' is a word of Python's own"),
        (["optimizer", "--kind", "optimizer"], "NAME 'optimizer' says what every such plugin is"),
        (["fast", "--kind", "optimiser"], "there is no kind of component 'optimiser'; did you mean 'optimizer'?"),
        (["fast", "--kind", "optimizer", "--vendor", "J o"], "--vendor 'J o': use lower-case letters"),
        (["fast", "--kind", "optimizer", "--vendor", ""], "--vendor '': use lower-case letters"),
        (["fast", "--kind", "optimizer", "--output", "nowhere"], "nowhere: no such folder"),
        (["fast"], "the following arguments are required: --kind"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "--vendor", "jo", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plugins", "new", "fast", "--kind", "optimizer", "--vendor", "jo", "--output", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'nanochat-jo-fast'}\n"
    mine = tmp_path / "nanochat-jo-fast" / "nanochat_jo_fast" / "fast.py"
    mine.write_text("mine")
    assert main(command) == 2
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["nanochat-jo-fast"]


def test_the_vendor_is_the_login_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "Jo.Example")
    command = ["plugins", "new", "fast", "--kind", "schedule", "--output", str(tmp_path)]
    assert main(command) == 0
    assert (tmp_path / "nanochat-jo-example-fast").is_dir()
    monkeypatch.setenv("LOGNAME", "1234")
    assert main(command) == 2


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    with pytest.raises(UsageError, match="No space left on device"):
        NewPlugin("optimizer", "jo", "fast").write(tmp_path)
    assert not list(tmp_path.iterdir())
