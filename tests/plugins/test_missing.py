"""A component of a plugin that is not installed: whose it is, and exit code 4, wherever it is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.config.load import load_config, read_resolved
from nanochat_framework.errors import ConfigError
from nanochat_framework.plugins import Registry, UnknownComponent
from tests.conftest import tiny_dict

STRANGER = {"match": "*", "name": "jo/fast"}
LOCK = [{"kind": "optimizer", "name": "jo/fast", "plugin": "jo", "distribution": "nanochat-jo-fast", "version": "0.2"}]


def test_a_vendor_of_whom_nothing_is_installed(probe_registry: Registry) -> None:
    with pytest.raises(UnknownComponent, match="unknown optimizer 'jo/fast': no plugin of 'jo' is installed") as error:
        probe_registry.get("optimizer", "jo/fast")
    assert error.value.absent
    with pytest.raises(UnknownComponent, match="did you mean 'probe/recurrent'") as error:
        probe_registry.get("attention", "probe/recurent")
    assert not error.value.absent, "something of this vendor is installed: the name is wrong"
    with pytest.raises(UnknownComponent, match="did you mean 'muon'") as error:
        probe_registry.get("optimizer", "moun")
    assert not error.value.absent


def test_a_vendor_whose_plugin_failed_is_not_said_to_be_absent() -> None:
    registry = Registry()
    registry.note_unavailable("jo_fast", "jo_fast is failed: no kernels")
    registry.freeze()
    with pytest.raises(UnknownComponent) as error:
        registry.get("optimizer", "jo/fast")
    told = "unknown optimizer 'jo/fast'. Available: none. Plugins that are not loaded: jo_fast is failed: no kernels"
    assert str(error.value) == told and error.value.absent
    with pytest.raises(UnknownComponent, match="no plugin of 'joe' is installed"):
        registry.get("optimizer", "joe/fast")


@pytest.mark.parametrize(("others", "code"), [({}, 4), ({"train": {"steps": 0}}, 2)])
def test_in_a_file_it_is_code_4_unless_more_is_wrong(
    others: dict[str, object], code: int, registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(tiny_dict(optimizer=[STRANGER], **others)))
    with pytest.raises(ConfigError, match=r"c\.toml:\d+: optimizer\.0\.name: unknown optimizer 'jo/fast'") as error:
        load_config(path, registry=registry)
    assert error.value.exit_code == code


@pytest.mark.parametrize("lock", [LOCK, None, {"not": "a list"}, [None, {}], LOCK * 2])
def test_a_run_knows_where_it_came_from(lock: object, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "config.resolved.json"
    path.write_text(json.dumps(tiny_dict(optimizer=[STRANGER])))
    if lock is not None:
        (tmp_path / "components.lock.json").write_text(json.dumps(lock))
    with pytest.raises(ConfigError, match="unknown optimizer 'jo/fast'") as error:
        read_resolved(path, registry=registry)
    assert error.value.exit_code == 4
    told = "optimizer 'jo/fast' came with nanochat-jo-fast 0.2; install that again" in str(error.value)
    assert told == (isinstance(lock, list) and LOCK[0] in lock)


@pytest.mark.parametrize(
    "command",
    [
        ["components", "show", "optimizer", "jo/fast"],
        ["prepare-data", "--source", "jo/texts", "--vocab-size", "300", "--output", "data"],
        ["eval", "r", "--tasks", "jo/score"],
        ["bench", "optimizers", "--optimizers", "jo/fast"],
    ],
    ids=lambda command: command[0],
)
def test_on_the_command_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 4
    said = capsys.readouterr().err
    (line,) = said.splitlines()
    assert "no plugin of 'jo' is installed" in line
