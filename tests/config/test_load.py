"""Configuration files: every mistake at once, with file, line and what was meant; and nothing but that."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.dump import dump_toml
from nanochat_framework.config.load import components_lock, load_config
from nanochat_framework.config.presets import preset_names, presets_dir
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import ConfigError, NanochatError, UsageError
from nanochat_framework.plugins import Registry, load_plugins

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
TINY = (presets_dir() / "tiny_cpu.toml").read_text()


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The lines that loading a text gives."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path, registry=REGISTRY, overrides=overrides)
    assert error.value.exit_code == 2
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def line_number(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if line.startswith(start))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_toml(name: str, tmp_path: Path) -> None:
    config = load_config(name, registry=REGISTRY).config
    path = tmp_path / "again.toml"
    path.write_text(dump_toml(config))
    assert load_config(path, registry=REGISTRY).config.to_dict() == config.to_dict()
    assert load_config(name.replace("-", "_"), registry=REGISTRY).config == config


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = TINY.replace("momentum =", "momentm =").replace("[schedule]", "[schedul]")
    text = text.replace("n_layers = 4", 'n_layers = "many"').replace("n_kv_heads = 4", "n_kv_heads = 3")
    found = problems(tmp_path, text)
    expected = {
        "optimizer.0.momentm: unknown key for optimizer muon; did you mean 'momentum'?": "momentm",
        "model.n_layers: expected an integer (got 'many')": "n_layers",
        "schedul: unknown section; did you mean 'schedule'?": "[schedul]",
        "model.attention: n_kv_heads 3 must divide n_heads 4": "attention",
    }
    for message, start in expected.items():
        assert f"{line_number(text, start)}: {message}" in found
    assert any(line.endswith("schedule: is missing") for line in found)
    assert len(found) == len(expected) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[train]", "[train]\nlr = 0.1"), "'lr' belongs under [[optimizer]]"),
        (('name = "muon"', 'name = "moun"'), "unknown optimizer 'moun'; did you mean 'muon'?"),
        (("[train]", "[tracker]\nx = 1\n[train]"), "reserved for experiment trackers"),
        (('precision = "', 'precision = "x'), "expected 'fp32' or 'bf16'"),
        (("\nseq_len = 256", "\nseq_len = 512"), "512 is more than model.max_seq_len 256"),
        (("group_size = 256", "group_size = 100"), "multiple of 32"),
        (('name = "wsd"', 'nam = "wsd"'), "a name is missing; choose one of"),
        (("[data]", "[data"), "not TOML"),
        (('match = "matrix"', ""), "match: is missing"),
    ],
)
def test_messages(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in TINY
    found = problems(tmp_path, TINY.replace(*change, 1))
    assert any(message in line for line in found), found


def test_schedules_of_undeclared_hyperparameters(tmp_path: Path) -> None:
    text = TINY.replace("momentum = 0.95", 'momentum = 0.95\nschedules = { betas = { name = "constant" } }')
    assert any("no scheduled hyperparameter" in line for line in problems(tmp_path, text))
    fine = TINY.replace("momentum = 0.95", 'momentum = 0.95\nschedules = { momentum = { name = "constant" } }')
    (tmp_path / "fine.toml").write_text(fine)
    load_config(tmp_path / "fine.toml", registry=REGISTRY)


def test_overrides_win_and_meet_the_same_checks(tmp_path: Path) -> None:
    def loaded(*overrides: str) -> RunConfig:
        return load_config("tiny-cpu", registry=REGISTRY, overrides=overrides).config

    assert loaded("optimizer.0.lr=0.01").optimizer[0].component.config.lr == 0.01
    assert loaded("model.attention.n_heads=8").model.config.attention.config.n_heads == 8
    assert loaded("schedule=constant").schedule.name == "constant"
    assert loaded("optimizer.1.name=adamw", "optimizer.1.lr=0.1").optimizer[1].component.config.lr == 0.1
    assert loaded("optimizer.1.name=adamw").optimizer[1].match == "*"
    with pytest.raises(ConfigError) as error:
        loaded("train.stepz=3", "optimizer.9.lr=1", "train..steps=1", "train.steps", "train.seed=-1")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("--set optimizer.9.lr=1") or "numbered from 0" in str(error.value)
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        loaded("train.stepz=3")
    with pytest.raises(ConfigError, match="^--set train.steps: train.steps: "):
        loaded("train.steps=many")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tiny-cup", "did you mean 'tiny-cpu'"),
        ("nowhere/x.toml", "no such file"),
        (".", "is a folder"),
    ],
)
def test_no_such_configuration(target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(target, registry=REGISTRY)


def test_a_missing_plugin_has_its_own_exit_code() -> None:
    lame = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": "", "NANOCHAT_DISABLE_PLUGINS": "schedules"}).registry
    with pytest.raises(ConfigError, match="schedules is disabled") as error:
        load_config("tiny-cpu", registry=lame)
    assert error.value.exit_code == 4


def test_the_lock_names_every_component() -> None:
    rows = components_lock(load_config("tiny-cpu", registry=REGISTRY).config)
    assert {(row["kind"], row["name"]) for row in rows} == {
        ("model", "decoder"),
        ("attention", "gqa"),
        ("ffn", "swiglu"),
        ("norm", "rms"),
        ("residual", "add"),
        ("quantizer", "ternary"),
        ("optimizer", "muon"),
        ("optimizer", "lion"),
        ("schedule", "wsd"),
        ("source", "tokens"),
    }
    assert all(row["distribution"] == "nanochat-framework" for row in rows)


def _loads_or_explains(path: Path | str, registry: Registry, overrides: list[str]) -> None:
    try:
        load_config(path, registry=registry, overrides=overrides)
    except NanochatError as error:
        assert str(error)
        assert error.exit_code in (2, 4)


PIECES = st.sampled_from(
    ["=", "[", "]", "{", "}", '"', "'", '"""', "\n", ".", ",", "#", "0", "-1", "nan", "é", "\x85", "[["]
)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(TINY)), cut=st.integers(0, 30), inserted=st.lists(PIECES, max_size=4).map("".join))
def test_no_mutated_file_gives_a_traceback(
    position: int, cut: int, inserted: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.toml"
    path.write_text(TINY[:position] + inserted + TINY[position + cut :], encoding="utf-8")
    _loads_or_explains(path, REGISTRY, [])


KEYS = st.sampled_from(
    ["train", "steps", "model", "optimizer", "0", "1", "9", "name", "schedule", "data", "source", "x", ""]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["3", "-1", "nan", "true", "[1, 2]", "{a = 1}", "muon", "1e999", "'x'", "1979-05-27"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=4), VALUES), max_size=3))
def test_no_override_gives_a_traceback(overrides: list[tuple[list[str], str]]) -> None:
    _loads_or_explains("tiny-cpu", REGISTRY, [f"{'.'.join(keys)}={value}" for keys, value in overrides])


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60))
def test_no_bytes_give_a_traceback(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    _loads_or_explains(path, REGISTRY, [])


def test_the_source_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "crlf.toml"
    path.write_bytes(TINY.replace("\n", "\r\n").encode())
    loaded = load_config(path, registry=REGISTRY)
    assert loaded.source_bytes == path.read_bytes()
    assert loaded.config.to_dict() == load_config("tiny-cpu", registry=REGISTRY).config.to_dict()
    assert tomli.loads(dump_toml(loaded.config)) == loaded.config.to_dict()
