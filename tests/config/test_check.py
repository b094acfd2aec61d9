"""`config check --json`, and a run's folder as a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli

from nanochat_framework.cli import main
from nanochat_framework.config.load import load_config
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import load_plugins
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.training.new_run import new_run

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


def test_problems_as_json_are_those_of_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["config", "check", "tiny-cpu", "--set", "optimizer.0.lr=-1", "--set", "train.stepz=3"]
    assert main(given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert main([*given, "--json"]) == 2
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err.splitlines() == lines
    assert found["ok"] is False and found["values"] == []
    assert [f"error: {p['where']}: {p['path']}: {p['message']}" for p in found["problems"]] == lines
    assert {p["path"] for p in found["problems"]} == {"optimizer.0.lr", "train.stepz"}
    assert main(["config", "check", "nonesuch", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["message"].startswith("nonesuch: no such file")


def test_what_is_well_comes_with_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "tiny-cpu", "--set", "optimizer.0.lr=0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True and found["problems"] == []
    values = {row["key"]: (row["value"], row["origin"]["kind"]) for row in found["values"]}
    assert values["optimizer.0.lr"] == (0.5, "set")
    assert values["train.seed"] == (0, "default")


def test_a_run_s_folder_is_what_the_run_was_made_from(tmp_path: Path) -> None:
    loaded = load_config("tiny-cpu", registry=REGISTRY, overrides=["train.tokens=40960", "schedule.warmup_steps=3"])
    first = new_run(loaded, loaded.config, tmp_path, "first")
    again = load_config(first.path, registry=REGISTRY)
    assert again.config == loaded.config
    assert again.label == "first"
    changed = load_config(first.path, registry=REGISTRY, overrides=["optimizer.0.lr=0.5"])
    second = new_run(changed, changed.config, tmp_path, None)
    assert "_first-" in second.name
    [copy] = second.config_sources()
    assert tomli.loads(copy.read_text())["train"]["steps"] == 20, "the copy is TOML that loads"
    copied = load_config(copy, registry=REGISTRY, overrides=["optimizer.0.lr=0.5"])
    assert copied.config == changed.config
    child = tmp_path / "child.toml"
    child.write_text('extends = "first"\n[train]\nseed = 7\n')
    assert load_config(child, registry=REGISTRY).config.train.seed == 7


def test_folders_that_are_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, not a TOML file"):
        load_config(tmp_path, registry=REGISTRY)
    run = RunDirectory.create(
        tmp_path, "x", sources=[("a.toml", b"")], resolved={}, components_lock=[], overrides=[], argv=[]
    )
    run.config_resolved.write_text("[]")
    with pytest.raises(UsageError, match="holds no configuration of a run"):
        load_config(run.path, registry=REGISTRY)
