"""What the form makes of a configuration: rows, changes, the command and the file, against what the configuration loads to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.config.load import load_config
from nanochat_framework.config.origins import leaves
from nanochat_framework.config.presets import preset_names
from nanochat_framework.config.schema import configuration_schema
from nanochat_framework.config.toml_lines import dotted
from nanochat_framework.errors import ConfigError, UsageError
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.new_run import new_run
from nanochat_tui.launch.catalogue import Catalogue
from nanochat_tui.launch.draft import Draft, parsed, right_side

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
CATALOGUE = Catalogue(configuration_schema(REGISTRY)[0])


def values(target: str | Path, *overrides: str) -> list[dict[str, Any]]:
    loaded = load_config(target, registry=REGISTRY, overrides=overrides)
    return [
        {"key": dotted(path), "value": value, "origin": loaded.provenance.origin(path).to_dict()}
        for path, value in leaves(loaded.config.to_dict())
    ]


def drafted(target: str | Path = "tiny-cpu", **changes: str) -> Draft:
    draft = Draft(str(target))
    draft.know(values(target), CATALOGUE)
    for key, text in changes.items():
        draft.set(key.replace("__", "."), text)
    return draft


@pytest.mark.parametrize("name", preset_names())
def test_every_value_of_a_preset_has_a_row(name: str) -> None:
    draft = drafted(name)
    rows = {row.key: row for row in CATALOGUE.rows(draft.base)}
    flat = {row["key"]: row["value"] for row in values(name)}
    for key, value in flat.items():
        if value == [] and CATALOGUE.is_array(key):
            continue
        table, _, last = key.rpartition(".")
        row = rows.get(key) or rows.get(table)
        inside_map = any(key.startswith(f"{other}.") and not rows[other].is_table for other in rows)
        assert row is not None or inside_map, key
        if row is not None and row.key == key:
            assert row.value == value
        elif row is not None:
            assert last == "name" and value in row.choices


def test_rows_tell_type_range_default_and_choices() -> None:
    rows = {row.key: row for row in CATALOGUE.rows(drafted().base)}
    assert rows["model.dim"].kind == "integer, above 0"
    assert (rows["train.precision"].choices.keys(), rows["train.seed"].default) == ({"fp32", "bf16", "fp16"}, 0)
    assert rows["optimizer.1"].name == "optimizer 2"
    assert {"muon", "lion", "adamw"} <= rows["optimizer.0"].choices.keys()
    assert rows["optimizer.0"].target == "optimizer.0.name"
    assert rows["quantizer.0.group_size"].kind == "integer or one of row, tensor"
    assert rows["data.source.path"].is_text
    assert CATALOGUE.own_keys("optimizer.0", "lion") >= {"match", "schedule"}
    assert "lr" not in CATALOGUE.own_keys("optimizer.0", "lion")
    labels = {addition.label for addition in CATALOGUE.additions(drafted().base)}
    assert {"objective  mtp", "optimizer  adamw", "token_filter  collider", "tracker  csv"} <= labels


CHANGES = [
    {"train__steps": "7"},
    {"train__tokens": "409600", "optimizer__0__lr": "1e-3"},
    {"schedule__name": "cosine", "schedule__warmup_steps": "5"},
    {"optimizer__1__name": "adamw", "optimizer__1__lr": "0.5"},
    {"model__ffn__name": "relu2", "model__ffn__hidden_dim": "256", "model__n_layers": "2"},
    {"model__attention": "{ name = 'gqa', n_heads = 2, n_kv_heads = 1, head_dim = 64 }"},
    {"data__source__name": "synthetic", "hardware__threads": "1"},
    {"objective": "[{ name = 'z_loss' }]", "quantizer": "[]"},
    {"objective": "[{ name = 'z_loss' }]", "objective__0__weight": "0.5"},
    {"token_filter": "{ name = 'collider', threshold = 0.5 }", "sample__prompts": "['import ', 'def']"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: " ".join(changes))
def test_the_file_the_command_and_the_form_say_the_same(changes: dict[str, str], tmp_path: Path) -> None:
    draft = drafted(**changes)
    words = shlex.split(draft.command(tmp_path / "runs", "--detach").replace("\\\n", " "))
    overrides = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
    assert words[:3] == ["nanochat", "train", "tiny-cpu"] and words[-1] == "--detach"
    try:
        by_command = load_config("tiny-cpu", registry=REGISTRY, overrides=overrides).config
    except ConfigError as error:
        pytest.fail(str(error))
    path = tmp_path / "mine.toml"
    path.write_text(draft.toml())
    assert load_config(path, registry=REGISTRY).config.to_dict() == by_command.to_dict()
    shown = {row.key: row.value for row in CATALOGUE.rows(draft.data()) if not row.is_table}
    resolved = {row["key"]: row["value"] for row in values("tiny-cpu", *overrides)}
    for key in draft.changes:
        if key in resolved and key in shown:
            assert shown[key] == resolved[key]


def test_members_are_added_and_taken_out() -> None:
    draft = drafted(optimizer__0__lr="0.5")
    members = draft.members("optimizer")
    assert members[0] == {"match": "matrix", "name": "muon", "lr": 0.5, "momentum": 0.95, "ns_steps": 3}
    draft.replace_array("optimizer", [members[0], {"match": "*", "name": "adamw", "lr": 0.1}])
    assert draft.is_said("optimizer.1.lr") and not draft.is_said("optimizer.1.betas")
    config = load_config("tiny-cpu", registry=REGISTRY, overrides=[f"{k}={v}" for k, v in draft.changes.items()]).config
    assert [rule.component.component.name for rule in config.optimizer] == ["muon", "adamw"]


def test_another_component_takes_the_changes_of_the_one_before_with_it_and_reset_takes_them_back() -> None:
    draft = drafted(optimizer__0__momentum="0.5", optimizer__0__name="adamw")
    assert draft.changes == {"optimizer.0.name": "adamw"}
    row = next(row for row in CATALOGUE.rows(draft.data()) if row.key == "optimizer.0")
    assert row.value == {"match": "matrix", "name": "adamw"}, "what belongs to the rule stays"
    assert draft.reset("optimizer.0") and draft.changes == {}
    assert not draft.reset("optimizer.0")


def test_a_run_shows_what_is_no_default(tmp_path: Path) -> None:
    loaded = load_config("tiny-cpu", registry=REGISTRY, overrides=["train.seed=7"])
    run = new_run(loaded, loaded.config, tmp_path, "first")
    draft = drafted(run.path, train__steps="9")
    assert draft.is_said("train.seed") and not draft.is_said("train.log_every")
    path = tmp_path / "mine.toml"
    path.write_text(draft.toml())
    config = load_config(path, registry=REGISTRY).config
    assert (config.train.steps, config.train.seed) == (9, 7)


@pytest.mark.parametrize(
    "text", ["lion", "data/x.bin", "true", "7", "a b", 'say "x"', "", " x", "1e5", "[1]", "x'y", "$HOME", "naïve"]
)
def test_a_text_is_a_text(text: str) -> None:
    assert parsed(right_side(text)) == text


def test_the_file_is_written_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = drafted(train__steps="7")
    draft.write(str(tmp_path / "one.toml"))
    assert load_config(tmp_path / "one.toml", registry=REGISTRY).config.train.steps == 7
    for text, message in (("one.toml", "exists"), ("one.txt", "ends in .toml"), ("no/two.toml", "is no folder")):
        with pytest.raises(UsageError, match=message):
            draft.write(str(tmp_path / text))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    child = drafted("one.toml", train__seed="3")
    child.write("below/two.toml")
    config = load_config(tmp_path / "below" / "two.toml", registry=REGISTRY).config
    assert (config.train.steps, config.train.seed) == (7, 3), "what it extends is found from where the file is"
