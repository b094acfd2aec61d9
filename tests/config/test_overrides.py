"""`--set KEY=VALUE`: what it changes, what it drops, how mistakes are named, and that nothing makes it fall over."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.load import load_config
from nanochat_framework.config.overrides import Override, apply_overrides, parse_override
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import ConfigError, Problem
from nanochat_framework.plugins import load_plugins

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


def loaded(*overrides: str) -> RunConfig:
    return load_config("tiny-cpu", registry=REGISTRY, overrides=overrides).config


def refused(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(*overrides)
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.steps=5", ("train", "steps"), 5),
        (" train . steps = 5 ", ("train", "steps"), 5),
        ("optimizer.0.lr=1e-3", ("optimizer", 0, "lr"), 1e-3),
        ("a.b=true", ("a", "b"), True),
        ("a.b=True", ("a", "b"), "True"),
        ("a.b=[1, 2]", ("a", "b"), [1, 2]),
        ("a.b={x = 1}", ("a", "b"), {"x": 1}),
        ("a.b=lion", ("a", "b"), "lion"),
        ("a.b='lion'", ("a", "b"), "lion"),
        ("a.b=C:\\x", ("a", "b"), "C:\\x"),
        ("a.b=x=y", ("a", "b"), "x=y"),
        ("a.b=", ("a", "b"), ""),
        ("a.b=007", ("a", "b"), "007"),
        ("a.b=" + "9" * 5000, ("a", "b"), "9" * 5000),
    ],
)
def test_the_right_side_is_toml_or_a_string(text: str, path: tuple[str | int, ...], value: object) -> None:
    parsed = parse_override(text)
    assert isinstance(parsed, Override)
    assert (parsed.path, parsed.value) == (path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.steps", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("train..steps=1", "a part of the key is empty"),
        (".steps=1", "a part of the key is empty"),
        ("train.steps=1\nmodel.dim=2", "control characters"),
        ("train.steps=\udcff", "not UTF-8"),
        ("train.steps=" + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_override(text: str, message: str) -> None:
    parsed = parse_override(text)
    assert isinstance(parsed, Problem)
    assert message in str(parsed)
    str(parsed).encode()
    assert len(str(parsed)) < 200


def test_they_reach_everything() -> None:
    assert loaded("optimizer.0.lr=0.01").optimizer[0].component.config.lr == 0.01
    assert loaded("model.attention.n_heads=8").model.config.attention.config.n_heads == 8
    assert loaded("schedule=constant").schedule.name == "constant"
    assert loaded("callback=[]", "eval.every=0").eval.every == 0
    assert loaded("optimizer.0.schedules.momentum.name=constant").optimizer[0].schedules["momentum"].name == "constant"
    assert loaded('optimizer.0.schedule="constant"').optimizer[0].schedule is not None
    assert loaded("train.steps=3", "train.steps=4").train.steps == 4


def test_another_component_drops_the_keys_of_the_one_before() -> None:
    changed = loaded("optimizer.0.name=adamw").optimizer[0]
    assert changed.match == "matrix", "the rule's own keys stay"
    assert changed.component.config.lr == 3e-4, "the file's lr was meant for muon"
    same = loaded("optimizer.0.name=muon").optimizer[0]
    assert same.component.config.ns_steps == 3, "the same name drops nothing"


@pytest.mark.parametrize("first", [True, False])
def test_keys_that_are_set_stay_whatever_the_order(first: bool) -> None:
    overrides = ["optimizer.0.name=adamw", "optimizer.0.lr=0.5", "optimizer.0.betas=[0.5, 0.6]"]
    changed = loaded(*(overrides if first else reversed(overrides))).optimizer[0].component.config
    assert (changed.lr, changed.betas) == (0.5, (0.5, 0.6))


def test_a_nested_table_survives_a_new_name_only_if_it_was_set() -> None:
    data = {"model": {"name": "a", "norm": {"name": "n", "eps": 1}, "dim": 3}}
    applied, problems = apply_overrides(data, ["model.norm.affine=true", "model.name=b"])
    assert data == {"model": {"name": "b", "norm": {"affine": True}}}
    assert (len(applied), problems) == (2, [])


def test_mistakes_name_the_flag_and_come_all_at_once() -> None:
    lines = refused("train.stepz=3", "optimizer.9.lr=1", "train..steps=1", "train.seed=-1", "model.dim.x=1")
    assert lines[0] == "--set optimizer.9.lr: optimizer.9: there are 2 members there, numbered from 0"
    assert "--set train..steps=1: a part of the key is empty" in lines
    assert "--set model.dim.x: model.dim.x: there is no table there" in lines
    assert "--set: train.stepz: unknown key for [train]; did you mean 'steps'?" in lines
    assert "--set: train.seed: must be at least 0 (got -1)" in lines
    assert len(lines) == 5
    assert refused("train.steps=many") == ['--set: train.steps: expected an integer (got "many")']
    assert refused("trian.steps=1")[0].endswith("trian: unknown section; did you mean 'train'?")


def test_what_a_new_component_lacks_is_the_flags_fault() -> None:
    lines = refused("model.attention=gqa")
    assert len(lines) == 3
    assert all(line.startswith("--set model.attention: model.attention.") for line in lines)
    (line,) = refused("data.source.name=tokens", "data.source={name='synthetic'}", "data.source.name=tokens")
    assert line.startswith("--set data.source.name: data.source.path: is missing")


def test_a_flag_that_stands_for_a_key_is_named_instead() -> None:
    override = parse_override("train.batch_size=0", flag="--batch-size")
    assert isinstance(override, Override)
    with pytest.raises(ConfigError, match=r"^--batch-size: train.batch_size: must be greater than 0 \(got 0\)$"):
        load_config("tiny-cpu", registry=REGISTRY, overrides=[override])


PARTS = "train steps model attention n_heads optimizer 0 1 9 name match schedule schedules data source"
KEYS = st.one_of(
    st.sampled_from(PARTS.split()),
    st.sampled_from(["", "²", "-1", "99999999999", "tracker", "extends"]),
    st.text(max_size=3),
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["3", "-1", "nan", "inf", "true", "[1,2]", "{a=1}", "[[]]", "[{}]", "{name='gqa'}", "muon"]),
    st.sampled_from(["1e999", "'x'", "1979-05-27", "07:32:00"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=4), VALUES), max_size=4))
def test_no_override_gives_a_traceback(overrides: list[tuple[list[str], str]]) -> None:
    try:
        loaded(*(f"{'.'.join(keys)}={value}" for keys, value in overrides))
    except ConfigError as error:
        lines = str(error).split("\n")
        assert len(lines) == len(error.problems)
        assert all(lines)
