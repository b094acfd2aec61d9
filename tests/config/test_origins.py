"""`config show --origin` and `config diff`: where each value comes from, and what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.cli import main
from nanochat_framework.config.diff import ABSENT, differences
from nanochat_framework.config.load import load_config
from nanochat_framework.config.origins import leaves
from nanochat_framework.config.overrides import parse_override
from nanochat_framework.plugins import load_plugins
from tests.conftest import TINY

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


@pytest.fixture
def child(tmp_path: Path) -> Path:
    path = tmp_path / "child.toml"
    path.write_text(
        'extends = "tiny-cpu"\n\n[train]\nbatch_tokens = 4096\nlog_every = 5\n\n[schedule]\nname = "cosine"\n\n'
        '[[optimizer]]\nmatch = "*"\nname = "adamw"\nschedules = { weight_decay = "linear" }\n'
    )
    return path


def origins(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["config", "show", *arguments, "--origin", "--json"]) == 0
    return {row["key"]: {"value": row["value"], **row["origin"]} for row in json.loads(capsys.readouterr().out)}


def test_every_value_has_its_origin(child: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = origins(str(child), "--set", "eval.every=7", "--set", "hardware={threads=1}", capsys=capsys)
    assert found["eval.every"] == {"value": 7, "kind": "set", "detail": "--set"}
    assert (found["hardware.threads"]["kind"], found["hardware.device"]["kind"]) == ("set", "default")
    assert found["train.log_every"] == {"value": 5, "kind": "file", "detail": str(child), "file": str(child), "line": 5}
    derived = found["train.gradient_accumulation"]
    assert derived == {"value": 2, "kind": "derived", "detail": "train.batch_tokens = 4096"}
    assert found["train.seed"] == {"value": 0, "kind": "default"}
    preset = found["train.steps"]
    assert (preset["kind"], preset["detail"], Path(preset["file"]).name) == ("preset", "tiny-cpu", "tiny_cpu.toml")
    assert Path(preset["file"]).read_text().split("\n")[preset["line"] - 1] == "steps = 5000"
    assert (found["schedule.name"]["line"], found["schedule.warmup_steps"]["kind"]) == (8, "default")
    assert found["optimizer.0.schedules.weight_decay.name"]["line"] == 13
    assert found["optimizer.0.schedules.weight_decay.min_lr_ratio"]["kind"] == "default"
    assert "optimizer.1.name" not in found
    expected = leaves(load_config(child, registry=REGISTRY, overrides=["eval.every=7"]).config.to_dict())
    assert list(found) == [".".join(map(str, path)) for path, _ in expected]


def test_the_table_says_the_same_in_words(child: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", str(child), "--origin"]) == 0
    lines = capsys.readouterr().out.splitlines()
    words = {line.split()[0]: line.split()[1:] for line in lines}
    assert words["train.log_every"] == ["5", f"{child}:5"]
    assert words["train.seed"] == ["0", "default"]
    assert words["train.gradient_accumulation"] == ["2", "derived", "from", "train.batch_tokens", "=", "4096"]
    assert words["model.dim"][:2] == ["256", "preset"]


def test_flags_that_stand_for_keys_are_named() -> None:
    override = parse_override("train.batch_size=2", flag="--batch-size")
    loaded = load_config("tiny-cpu", registry=REGISTRY, overrides=[override])  # type: ignore[list-item]
    assert str(loaded.provenance.origin(("train", "batch_size"))) == "--batch-size"


def test_a_whole_table_that_is_set_hides_what_was_set_before() -> None:
    overrides = ["optimizer.0.lr=0.5", "optimizer.0={match='matrix', name='muon', momentum=0.5}"]
    origin = load_config("tiny-cpu", registry=REGISTRY, overrides=overrides).provenance.origin
    assert origin(("optimizer", 0, "lr")).kind == "default"
    assert origin(("optimizer", 0, "momentum")).kind == "set"
    assert origin(("optimizer", 1, "lr")).kind == "preset"


def diff(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["config", "diff", *arguments]) == 0
    return capsys.readouterr().out


def test_only_what_differs(child: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = diff("tiny-cpu", str(child), capsys=capsys).splitlines()
    assert "train.log_every: 10 -> 5" in lines
    assert "train.gradient_accumulation: 1 -> 2" in lines
    (schedule,) = [line for line in lines if line.startswith("schedule")]
    assert schedule.startswith('schedule: { name = "wsd", warmup_steps = 50, ')
    assert ' -> { name = "cosine", warmup_steps = 0, ' in schedule
    assert [line.split()[0] for line in lines if line.startswith("optimizer")] == ["optimizer.0:", "optimizer.1:"]
    assert lines[-1].startswith("optimizer.1") is False
    assert len(lines) == 5
    rows = json.loads(diff("tiny-cpu", str(child), "--json", capsys=capsys))
    assert {"key": "train.log_every", "a": 10, "b": 5} in rows
    assert [set(row) for row in rows if row["key"] == "optimizer.1"] == [{"key", "a"}]


def test_runs_can_be_compared(child: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--set", "data.source.name=synthetic", "--set", "train.steps=1", "--runs-dir", str(tmp_path), "--quiet"]
    small = ["--set", "train.batch_size=1", "--set", "data.seq_len=8", "--set", "eval.every=0"]
    assert main(["train", "tiny-cpu", "--run", "one", *few, *small]) == 0
    assert main(["train", "tiny-cpu", "--run", "two", *few, *small, "--set", "train.seed=3"]) == 0
    capsys.readouterr()
    assert diff("one", "two", "--runs-dir", str(tmp_path), capsys=capsys) == "train.seed: 0 -> 3\n"
    assert diff(str(tmp_path / "one"), str(tmp_path / "two"), capsys=capsys) == "train.seed: 0 -> 3\n"
    assert "train.steps: 5000 -> 1" in diff("tiny-cpu", "one", "--runs-dir", str(tmp_path), capsys=capsys)
    assert main(["config", "diff", "tiny-cpu", "three", "--runs-dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "three: no such file, and no preset of that name" in message
    assert "no run 'three'" in message
    assert diff("tiny-cpu", "tiny-cpu", "--json", capsys=capsys) == "[]\n"


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 1.0]), st.sampled_from(["x", "y"])),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["name", "p", "q"]), inner, max_size=3),
        st.lists(st.dictionaries(st.sampled_from(["name", "p"]), inner, max_size=2), max_size=2),
        st.lists(st.integers(0, 2), max_size=2),
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


def applied(before: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Put a value at a path of nested tables and arrays; ABSENT takes it away."""
    *parents, last = path
    for part in parents:
        before = before[part]
    if isinstance(before, list):
        assert isinstance(last, int)
        if value is ABSENT:
            del before[last:]
        elif last == len(before):
            before.append(value)
        else:
            before[last] = value
    elif value is ABSENT:
        del before[last]
    else:
        before[last] = value


@given(TABLES, TABLES)
def test_differences_lead_from_one_to_the_other(a: dict[str, Any], b: dict[str, Any]) -> None:
    found = differences(a, b)
    assert differences(a, a) == []
    assert bool(found) == (json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True))
    rebuilt = json.loads(json.dumps(a))
    for difference in found:
        applied(rebuilt, difference.path, difference.after)
    assert json.dumps(rebuilt, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert {difference.key for difference in differences(b, a)} == {difference.key for difference in found}


@given(st.sampled_from(sorted(TINY)), st.data())
def test_leaves_are_all_there_is(section: str, draw: st.DataObject) -> None:
    for path, value in leaves(TINY[section]):
        node: Any = TINY[section]
        for part in path:
            node = node[part]
        assert node == value
        assert not isinstance(value, dict)
