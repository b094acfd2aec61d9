"""`plugins`, `components` and `config`: what they print, as text and as JSON, and their exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomli

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.plugins import load_plugins
from nanochat_framework.plugins.kinds import KINDS

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")


def printed(capsys: Captured, *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_plugins(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_DISABLE_PLUGINS", "schedules")
    rows = {row["name"]: row for row in printed(capsys, "plugins", "list")}
    assert rows["schedules"]["state"] == "disabled"
    assert rows["schedules"]["reason"]
    optimizers = rows["optimizers"]
    assert (optimizers["state"], optimizers["distribution"]) == ("ok", "nanochat-framework")
    assert {"optimizer:lion", "optimizer:muon"} <= set(optimizers["components"])
    assert optimizers["milliseconds"] > 0
    assert main(["plugins", "list"]) == 0
    text = capsys.readouterr().out
    assert all(
        any(line.split()[:2] == [row["name"], row["state"]] for line in text.splitlines()) for row in rows.values()
    )
    assert "switched off by the environment" in text
    assert "optimizer:muon" not in text
    assert main(["plugins", "list", "--all"]) == 0
    assert "optimizer:muon" in capsys.readouterr().out


def test_components(capsys: Captured) -> None:
    rows = printed(capsys, "components", "list")
    assert {row["kind"] for row in rows} <= set(KINDS)
    some = printed(capsys, "components", "list", "optimizer")
    assert {"adamw", "lion", "muon"} <= {row["name"] for row in some}
    assert some == [row for row in rows if row["kind"] == "optimizer"]
    assert main(["components", "list", "optimizer"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(some)


def test_every_component_can_be_shown(capsys: Captured) -> None:
    for component in load_plugins().registry.components():
        shown = printed(capsys, "components", "show", component.kind, component.name)
        assert shown["summary"] == component.summary
        for field in shown["fields"]:
            assert field["type"]
            assert field["description"]
            assert "typing" not in field["type"]
            assert "Selected" not in field["type"]
        assert main(["components", "show", component.kind, component.name]) == 0
        text = capsys.readouterr().out
        assert all(any(line.startswith(f["name"]) for line in text.splitlines()) for f in shown["fields"])


def test_types_and_defaults_are_in_tomls_words(capsys: Captured) -> None:
    def fields(kind: str, name: str) -> dict[str, tuple[str, str]]:
        shown = printed(capsys, "components", "show", kind, name)
        return {f["name"]: (f["type"], f["default"]) for f in shown["fields"]}

    assert fields("model", "decoder")["attention"] == ("component: attention", "required")
    assert fields("model", "decoder")["n_layers"][0].startswith("integer, > 0")
    assert fields("model", "decoder")["value_embeddings"] == ("table", "absent")
    assert fields("model", "decoder")["value_embeddings.every"] == ("integer, > 0", "2")
    lion = fields("optimizer", "lion")
    assert lion["lr"] == ("number, >= 0, <= 1e+30", "0.0001")
    assert lion["betas"] == ("array of 2: number, >= 0, < 1", "[0.9, 0.99]")
    assert fields("optimizer", "muon")["nesterov"] == ("boolean", "true")
    assert fields("optimizer", "muon")["shape_scale"] == ('"none" or "spectral" or "rms"', '"spectral"')
    assert fields("source", "tokens")["validation_path"] == ("string", "absent")
    assert fields("source", "text")["paths"] == ("array of string", "required")


def test_choices_of_a_setting(capsys: Captured) -> None:
    fields = {f["name"]: f for f in printed(capsys, "components", "show", "exporter", "gguf")["fields"]}
    assert fields["ternary_type"]["choices"] == ["tq2_0", "tq1_0", "q4_0"]
    assert fields["head_type"]["choices"][0] == "f32", "one that may be absent"
    assert fields["license"]["choices"] is None
    fields = {f["name"]: f for f in printed(capsys, "components", "show", "optimizer", "muon")["fields"]}
    assert fields["nesterov"]["choices"] == [True, False]
    assert fields["lr"]["choices"] is None


def test_a_component_of_a_plugin_that_is_off_has_exit_code_4(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_DISABLE_PLUGINS", "schedules")
    assert main(["components", "show", "schedule", "wsd"]) == 4
    assert "schedules is disabled" in capsys.readouterr().err
    assert main(["config", "check", "tiny-cpu"]) == 4
    assert main(["components", "show", "optimizer", "moun"]) == 2


def test_config_check(capsys: Captured) -> None:
    assert main(["config", "check", "tiny-cpu"]) == 0
    assert capsys.readouterr().out.endswith("tiny_cpu.toml: ok\n")
    assert main(["config", "check", "tiny-cpu", "--set", "train.steps=10"]) == 0
    assert capsys.readouterr().err.startswith("warning: schedule.warmup_steps 50 is not below train.steps 10")
    assert main(["config", "check", "tiny-cpu", "--set", "train.stepz=10", "--set", "model.dim=x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.partition(":")[0] for line in captured.err.splitlines()] == ["error", "error"]


def test_config_show_is_the_configuration(capsys: Captured) -> None:
    assert main(["config", "show", "tiny-cpu", "--set", "train.seed=7"]) == 0
    shown = tomli.loads(capsys.readouterr().out)
    resolved = printed(capsys, "config", "show", "tiny-cpu", "--set", "train.seed=7")
    assert shown == {key: value for key, value in resolved.items() if value != []}
    config = RunConfig.model_validate(shown, context={"registry": load_plugins().registry})
    assert config.train.seed == 7
    assert config.to_dict() == resolved


def test_components_with_settings_and_laws(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    assert main(["components", "list", "schedule", "--settings", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert main(["components", "show", "schedule", "wsd", "--json"]) == 0
    assert rows["wsd"]["fields"] == json.loads(capsys.readouterr().out)["fields"] and rows["wsd"]["fault"] is None
    assert main(["components", "list", "schedule", "--settings"]) == 0
    assert "warmup_steps" in capsys.readouterr().out
    assert main(["components", "laws", "schedule", "--json"]) == 0
    (kind,) = json.loads(capsys.readouterr().out)
    assert kind["contract"] == "nanochat_framework.contracts.schedule:Schedule"
    assert {"name": "stays_at_its_end", "states": "Past the last step it stays at its last value."} in kind["laws"]
    assert main(["components", "laws", "schedule"]) == 0
    assert "stays_at_its_end\n      Past the last step" in capsys.readouterr().out
