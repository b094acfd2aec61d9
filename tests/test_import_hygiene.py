"""Commands that do not compute import neither torch nor numpy nor textual: proved at run time, in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module

import pytest

from nanochat_framework.cli import COMMANDS
from nanochat_framework.plugins import load_plugins
from tests.conftest import REPOSITORY

SCRIPT = """
import contextlib, io, sys
from nanochat_framework.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
heavy = {"torch", "numpy", "textual", "gguf", "tokenizers", "tiktoken", "safetensors"} & set(sys.modules)
light = {"pydantic", "nanochat_framework.config.load"} & set(sys.modules)
print(code, *sorted(heavy))
print(*sorted(light))
"""


def imported(*arguments: str) -> list[str]:
    """Exit code and heavy packages of a command, then what else it need not have imported."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins", "list"],
        ["doctor", "--json"],
        ["components", "list"],
        ["components", "show", "optimizer", "muon"],
        ["config", "check", "tiny-cpu"],
        ["config", "show", "nano-125m", "--json"],
        ["plan", "ittybitty-38m", "--json"],
        ["runs", "ls"],
        *([name, "--help"] for commands in COMMANDS.values() for name in commands),
    ],
    ids=" ".join,
)
def test_no_heavy_import(arguments: list[str]) -> None:
    heavy, others = imported(*arguments)
    codes = ("0", "1") if arguments[0] == "doctor" else ("0",)  # the machine may have a problem
    assert heavy in codes
    if arguments[0] == "plugins" or arguments[-1] in ("--help", "--version"):
        assert others == "", "nothing here needs a configuration"


def test_configurations_of_all_components_are_light() -> None:
    """A component is two files, and the one with its settings imports nothing heavy."""
    script = (
        "import sys\nfrom nanochat_framework.plugins import load_plugins\n"
        "for component in load_plugins().registry.components():\n    component.config_class()\n"
        "print(*{'torch', 'numpy', 'gguf', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_import_contracts_name_every_plugin() -> None:
    """import-linter judges the packages that it is told of; a new plugin must be among them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = set(project["project"]["entry-points"]["nanochat"].values())
    linter = project["tool"]["importlinter"]
    assert set(linter["root_packages"]) == {"nanochat_framework", *packages}
    core, independent, _ = linter["contracts"]
    assert set(core["forbidden_modules"]) == packages
    assert set(independent["modules"]) == packages
    dashboard = tomllib.loads((REPOSITORY / "tui" / "importlinter.toml").read_text())["tool"]["importlinter"]
    assert packages <= set(dashboard["contracts"][0]["forbidden_modules"])


def test_every_first_party_plugin_loads() -> None:
    for plugin in load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).plugins:
        if plugin.first_party:
            assert (plugin.state, plugin.reason) == ("ok", "")
            assert import_module(plugin.module).__doc__
