"""How long to train and how much at a time, said in other ways than steps and micro-batches."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.budgets import settle
from nanochat_framework.config.derivation import Derivation
from nanochat_framework.config.load import load_config, read_resolved
from nanochat_framework.config.phases import planned_tokens, training_phases
from nanochat_framework.config.run_config import OPEN_END, RunConfig
from nanochat_framework.errors import ConfigError
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.plugins import load_plugins
from tests.conftest import tiny_dict

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


def load(*overrides: str, preset: str | Path = "tiny-cpu") -> RunConfig:
    return load_config(preset, registry=REGISTRY, overrides=overrides).config


def refused(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(*overrides)
    return str(error.value).splitlines()


def validated(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(tiny_dict(**changes), context={"registry": REGISTRY})


def test_tokens_become_the_fewest_steps_that_reach_them() -> None:
    config = load("train.tokens=500_000_000", preset="ittybitty-38m")
    assert config.train.steps == math.ceil(500_000_000 / 524_288) == 954
    assert config.train.tokens is None
    assert load("train.tokens=2048").train.steps == 1
    assert load("train.tokens=2049").train.steps == 2
    assert load("train.tokens=1").train.steps == 1


def test_tokens_per_parameter_counts_without_torch() -> None:
    config = load("train.tokens_per_parameter=20")
    n_parameters = count_parameters(take_inventory(config)).total
    assert config.train.steps == math.ceil(20 * n_parameters / 2048)
    with_objective = load("train.tokens_per_parameter=20", "objective=[{name='mtp'}]")
    assert with_objective.train.steps == config.train.steps, "heads of objectives are counted apart"
    program = (
        "import sys; from nanochat_framework.cli import main;"
        "main(['config', 'check', 'tiny-cpu', '--set', 'train.tokens_per_parameter=20']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_the_later_word_counts_and_one_layer_says_one(tmp_path: Path) -> None:
    assert load("train.tokens=4096", "train.steps=7").train.steps == 7
    assert load("train.steps=7", "train.tokens=4096").train.steps == 2
    (tmp_path / "a.toml").write_text('extends = "tiny-cpu"\n[train]\ntokens = 4096\n')
    assert load(preset=tmp_path / "a.toml").train.steps == 2
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n[train]\ntokens = 4096\nsteps = 3\n')
    with pytest.raises(ConfigError, match=r"b.toml:2: train: say how long .* max_hours; there are steps and tokens"):
        load(preset=tmp_path / "b.toml")
    assert any("max_hours; there is none" in line for line in refused("train={}"))


def test_batch_tokens_become_micro_batches() -> None:
    assert load("train.batch_tokens=8192").train.gradient_accumulation == 4
    assert load("train.batch_tokens=8192").train.batch_tokens is None
    assert load("train.batch_tokens=8192", "train.gradient_accumulation=3").train.gradient_accumulation == 3
    assert load("train.batch_tokens=8192", "train.batch_size=4").train.gradient_accumulation == 8
    both = "train={steps=1, batch_tokens=8192, gradient_accumulation=2}"
    assert any("batch_tokens and gradient_accumulation say the same" in line for line in refused(both))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.batch_tokens=5000"],
            "of 2048 tokens (batch_size x seq_len of train); the nearest that are: 4096 and 6144",
        ),
        (["train.batch_tokens=100"], "the nearest that are: 2048"),
        (["train.batch_tokens=524288", "train.batch_size=48"], "; or keep it with a batch_size of 32 or 64"),
        (["train.batch_tokens=3072", "train.batch_size=8"], "2048 and 4096; or keep it with a batch_size of 6 or 12"),
        (
            ["train.batch_tokens=4096", "data.phase=[{until=0.5,batch_size=3}]"],
            "(batch_size x seq_len of data.phase.0)",
        ),
    ],
)
def test_batch_tokens_that_do_not_divide(overrides: list[str], message: str) -> None:
    (line,) = refused(*overrides)
    assert "train.batch_tokens: " in line
    assert message in line


def test_phases_keep_the_tokens_of_a_step() -> None:
    phases = "data.phase=[{until=0.25,seq_len=64},{until=0.5,batch_size=2},{until=0.75,gradient_accumulation=1}]"
    config = load(phases, "train.batch_tokens=8192", "train.tokens=1_000_000")
    tokens = [phase.tokens_per_step for phase in training_phases(config)]
    assert tokens == [8192, 8192, 2048, 8192]
    assert planned_tokens(config) >= 1_000_000
    one_less = config.model_copy(
        update={"train": config.train.model_copy(update={"steps": config.train.most_steps - 1})}
    )
    assert planned_tokens(one_less) < 1_000_000


@given(tokens=st.integers(1, 10**15), batch=st.integers(1, 64), accumulation=st.integers(1, 64))
def test_the_budget_is_reached_and_not_a_step_more(tokens: int, batch: int, accumulation: int) -> None:
    config = validated(train={"tokens": tokens, "batch_size": batch, "gradient_accumulation": accumulation})
    settled = settle(config)
    per_step = batch * accumulation * 16
    if settled.problems:
        assert tokens > OPEN_END * per_step
        return
    assert settled.config.train.steps == -(-tokens // per_step)
    assert settled.derived == {("train", "steps"): Derivation(("train", "tokens"), f"train.tokens = {tokens}")}
    assert settle(settled.config).config == settled.config, "what is settled stays as it is"


@given(total=st.integers(1, 10**6), batch=st.integers(1, 300), seq_len=st.integers(1, 64))
def test_the_nearest_values_that_are_offered_work(total: int, batch: int, seq_len: int) -> None:
    def settled(total: int, batch: int) -> Any:
        config = validated(train={"steps": 1, "batch_size": batch, "batch_tokens": total}, data__seq_len=seq_len)
        return settle(config)

    first = settled(total, batch)
    if not first.problems:
        assert first.config.train.gradient_accumulation * batch * seq_len == total
        return
    ((at, message),) = first.problems
    assert at == ("train", "batch_tokens")
    nearest, _, sizes = message.partition("nearest that are: ")[2].partition("; or keep it with a batch_size of ")
    for number in map(int, nearest.split(" and ")):
        assert settled(number, batch).problems == ()
        assert abs(number - total) < batch * seq_len
    for size in map(int, sizes.split(" or ") if sizes else []):
        assert settled(total, size).problems == ()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.max_hours=1", "data.phase=[{until=0.5}]"], "data.phase.0.until: is a share of all steps"),
        (
            ["train.max_hours=1", "data.sources=[{name='synthetic',max_epochs=1}]"],
            "one source must do without max_epochs",
        ),
        (["train.max_hours=0"], "train.max_hours: must be greater than 0"),
        (
            ["train.tokens_per_parameter=1000000", "train.batch_size=1", "data.seq_len=1"],
            "takes 3,672,320,000,000 steps",
        ),
        (["train.tokens=" + "9" * 40], "train.tokens: must be at most"),
        (
            ["train.batch_tokens=268435456000"],
            "train.batch_tokens: makes 131,072,000 micro-batches of 2048 tokens, more than 1,048,576",
        ),
    ],
)
def test_budgets_that_cannot_be(overrides: list[str], message: str) -> None:
    assert any(message in line for line in refused(*overrides))


def test_hours_leave_the_steps_open(tmp_path: Path) -> None:
    config = load("train.max_hours=0.5")
    assert (config.train.steps, config.train.most_steps) == (None, OPEN_END)
    assert load_config("tiny-cpu", registry=REGISTRY, overrides=["train.max_hours=0.5"]).warnings == ()
    (tmp_path / "resolved.json").write_text(json.dumps(config.to_dict()))
    assert read_resolved(tmp_path / "resolved.json", registry=REGISTRY) == config


def test_mistakes_in_a_budget_are_at_its_line(tmp_path: Path) -> None:
    text = tomli_w.dumps(tiny_dict(train={"steps": 6, "batch_tokens": 100}))
    (tmp_path / "x.toml").write_text(text)
    line = 1 + text.split("\n").index("batch_tokens = 100")
    with pytest.raises(ConfigError, match=rf"x.toml:{line}: train.batch_tokens: 100 is no whole number"):
        load(preset=tmp_path / "x.toml")
