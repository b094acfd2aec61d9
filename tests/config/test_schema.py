"""The JSON Schema: current, true to what the loader takes, and able to catch what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nanochat_framework.cli import main
from nanochat_framework.config.dump import dump_toml
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.schema import configuration_schema
from nanochat_framework.plugins import Component, Registrar, Registry, load_plugins
from tests.config.test_dump import COMPONENTS, placed, table_of
from tests.conftest import REPOSITORY, tiny_dict

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
COMMITTED = REPOSITORY / "configs" / "nanochat.schema.json"
PRESETS = sorted((REPOSITORY / "configs" / "models").glob("*.toml"))
SCHEMA, LEFT_OUT = configuration_schema(REGISTRY)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_committed_schema_is_current() -> None:
    command = "NANOCHAT_LOAD_PLUGINS= nanochat config schema --output configs/nanochat.schema.json"
    assert json.loads(COMMITTED.read_text()) == SCHEMA, f"it is not what the code says; run `{command}`"
    assert LEFT_OUT == []
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_name_the_schema_and_keep_it(preset: Path) -> None:
    text = preset.read_text()
    first = text.split("\n")[0]
    assert first == "#:schema ../nanochat.schema.json"
    assert (preset.parent / first.removeprefix("#:schema ")).resolve() == COMMITTED.resolve()
    VALIDATOR.validate(tomli.loads(text))


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.name}")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(draw=st.data())
def test_what_the_loader_takes_the_schema_takes(component: Component, draw: st.DataObject) -> None:
    data = placed(component, draw.draw(table_of(component)))
    try:
        config = RunConfig.model_validate(data, context={"registry": REGISTRY})
    except ValidationError:
        assume(False)
    VALIDATOR.validate(data)
    VALIDATOR.validate(tomli.loads(dump_toml(config)))


@pytest.mark.parametrize("train", [{"tokens": 5}, {"max_hours": 0.5, "batch_tokens": 64}, {"tokens_per_parameter": 2}])
def test_every_way_to_say_how_long(train: dict[str, Any]) -> None:
    VALIDATOR.validate(tiny_dict(train=train))


@pytest.mark.parametrize(
    "changes",
    [
        {"train__stepz": 3},
        {"trian": {}},
        {"train__steps": "6"},
        {"train__steps": 0},
        {"train__precision": "fp8"},
        {"model__attention": {"name": "gqaa", "n_heads": 1, "n_kv_heads": 1, "head_dim": 2}},
        {"model__attention": {"name": "gqa", "n_heads": 1, "n_kv_heads": 1}},
        {"model__ffn": "swiglu"},
        {"schedule": "wdc"},
        {"optimizer": [{"name": "muon"}]},
        {"optimizer": [{"match": "*", "name": "muon", "betas": [0.9, 0.9]}]},
        {"optimizer": [{"match": "*", "name": "lion", "schedule": {"name": "muon"}}]},
        {"optimizer": []},
        {"quantizer": {"match": "*", "name": "ternary"}},
        {"extends": 3},
    ],
    ids=str,
)
def test_it_catches_what_the_loader_refuses(changes: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(tiny_dict())
    assert not VALIDATOR.is_valid(tiny_dict(**changes))


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({"extends": "tiny-cpu"}, True),
        ({"extends": "tiny-cpu", "train": {"steps": 5}, "model": {"attention": {"head_dim": 32}}}, True),
        ({"extends": "tiny-cpu", "model": {"name": "decoder", "ffn": {"name": "moe", "n_experts": 4}}}, True),
        ({"extends": "tiny-cpu", "schedule": "cosine"}, True),
        ({"extends": "tiny-cpu", "optimizer": [{"match": "*", "name": "lion"}]}, True),
        ({"extends": "tiny-cpu", "optimizer": [{"name": "lion"}]}, False),
        ({"extends": "tiny-cpu", "train": {"stepz": 5}}, False),
        ({"extends": "tiny-cpu", "model": {"attention": {"name": "gqa", "hidden_dim": 32}}}, False),
        ({"train": {"steps": 5}}, False),
    ],
    ids=str,
)
def test_files_on_top_of_others_may_leave_out_what_merges(data: dict[str, Any], valid: bool) -> None:
    assert VALIDATOR.is_valid(data) is valid


def test_every_key_is_described_and_defaults_are_told() -> None:
    assert '"default"' in json.dumps(SCHEMA["$defs"]["configuration"]["properties"]["train"]["properties"]["log_every"])
    for name, definition in SCHEMA["$defs"].items():
        for table in definition.get("anyOf", [definition]):
            for key, value in table.get("properties", {}).items():
                assert value.get("description"), f"{name}: {key}"


def test_the_command_writes_it_and_names_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    printed = capsys.readouterr().out
    assert main(["config", "schema", "--output", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text() == printed
    assert json.loads(printed)["$defs"].keys() >= SCHEMA["$defs"].keys()
    assert main(["config", "schema", "--output", str(tmp_path / "no" / "s.json")]) == 2
    registrar = Registrar("broken", "tests", "strangers", "0")
    registrar.schedule("strangers/late", config="no.such:Config", factory="no.such:build", summary="Broken.")
    registry = Registry()
    registry.commit([*REGISTRY.components(), *registrar.components])
    assert configuration_schema(registry) == (SCHEMA, ["schedule strangers/late is left out: " + LINE])


LINE = "ModuleNotFoundError: No module named 'no'"


def test_it_costs_no_torch() -> None:
    program = (
        "import sys; from nanochat_framework.cli import main; main(['config', 'schema']);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0
