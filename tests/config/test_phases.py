"""Phases of training, from the configuration to steps, plans and messages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.config.load import load_config
from nanochat_framework.config.phases import largest_phase, planned_tokens, steps_within, training_phases
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import ConfigError
from nanochat_framework.planning.flops import flops_per_token
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.plan import make_plan
from nanochat_framework.planning.report import as_text
from nanochat_framework.plugins import Registry
from nanochat_framework.training.out_of_memory import explained
from tests.conftest import tiny_dict

SYNTHETIC = {"name": "synthetic"}
WARM = {"until": 0.25, "seq_len": 8, "batch_size": 16, "weights": [1, 2], "difficulty": "length"}
NEXT = {"until": 0.5, "gradient_accumulation": 3}
TWO = [{**SYNTHETIC, "weight": 2}, {**SYNTHETIC, "max_epochs": 3, "seed": 1}]


def mixed(**changes: Any) -> dict[str, Any]:
    data = {"sources": TWO, "seq_len": 16, "phase": [WARM, NEXT]}
    return tiny_dict(data={**data, **changes}, train__steps=1000)


def test_phases_fill_in_what_they_do_not_say(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(data=mixed()["data"], train__steps=1000)
    shapes = [
        (p.first_step, p.end_step, p.seq_len, p.batch_size, p.gradient_accumulation, p.weights, p.difficulty)
        for p in training_phases(config)
    ]
    assert shapes == [
        (0, 250, 8, 16, 1, (1.0, 2.0), "length"),
        (250, 500, 16, 4, 3, (2.0, 1.0), "none"),
        (500, 1000, 16, 4, 1, (2.0, 1.0), "none"),
    ]
    assert planned_tokens(config) == 250 * 128 + 250 * 192 + 500 * 64
    assert RunConfig.model_validate(config.to_dict(), context={"registry": _registry(config)}) == config


def _registry(config: RunConfig) -> Registry:
    registry = Registry()
    registry.commit([s.component for s in _selected(config)])
    return registry


def _selected(config: RunConfig) -> list[Any]:
    from nanochat_framework.config.load import selections

    return list(
        {selected.component.name + selected.component.kind: selected for selected in selections(config)}.values()
    )


def test_components_of_all_sources_are_locked(tiny_config: Callable[..., RunConfig]) -> None:
    from nanochat_framework.config.load import components_lock

    config = tiny_config(data={"sources": [SYNTHETIC, {"name": "tokens", "path": "a.bin"}], "seq_len": 16})
    assert {row["name"] for row in components_lock(config) if row["kind"] == "source"} == {"synthetic", "tokens"}


def test_an_end_in_tokens(tiny_config: Callable[..., RunConfig]) -> None:
    phases = [{"until_tokens": 1000, "seq_len": 8}, {"until_tokens": 2000}]
    config = tiny_config(data={"source": SYNTHETIC, "seq_len": 16, "phase": phases}, train__steps=100)
    assert [(p.end_step, p.seq_len) for p in training_phases(config)] == [(32, 8), (48, 16), (100, 16)]
    short = tiny_config(data={"source": SYNTHETIC, "seq_len": 16, "phase": phases}, train__steps=10)
    assert [(p.end_step, p.seq_len) for p in training_phases(short)] == [(10, 8)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(1, 10**6), ends=st.lists(st.floats(0.01, 1), max_size=3, unique=True).map(sorted))
def test_steps_within_a_number_of_tokens(tiny_config: Callable[..., RunConfig], tokens: int, ends: list[float]) -> None:
    phases = [{"until": end, "seq_len": 8, "batch_size": 1 + number} for number, end in enumerate(ends)]
    data = {"source": SYNTHETIC, "seq_len": 16, "phase": phases}

    def needed(steps: int) -> int:
        config = tiny_config(data=data, train__steps=steps)
        found = training_phases(config)
        assert [a.end_step for a, _ in pairwise(found)] == [b.first_step for _, b in pairwise(found)]
        assert (found[0].first_step, found[-1].end_step) == (0, steps)
        return planned_tokens(config)

    steps = steps_within(tiny_config(data=data), tokens)
    assert steps == 1 or needed(steps) <= tokens
    assert needed(steps + 1) > tokens


def test_the_plan_is_made_for_the_largest_phase(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(data=mixed()["data"], train__steps=1000)
    assert (largest_phase(config).batch_size, largest_phase(config).seq_len) == (16, 8)
    plan = make_plan(config, name="phases")
    same = make_plan(tiny_config(data={"source": SYNTHETIC, "seq_len": 8}, train__batch_size=16), name="one")
    assert plan.rows == same.rows
    assert plan.tokens == planned_tokens(config)
    inventory = take_inventory(config)
    parts = ((8, 250 * 128), (16, 250 * 192 + 500 * 64))
    assert plan.training_flops == pytest.approx(sum(flops_per_token(inventory, s).training * n for s, n in parts))
    text = as_text(plan)
    assert "1,000 steps of 64 to 192 tokens" in text
    assert "phase 0: steps 1 to 250, 16 sequences of 8 tokens" in text
    assert "sequences of 8 tokens" in text
    assert [phase["last_step"] for phase in plan.to_dict()["run"]["phases"]] == [250, 500, 1000]
    assert "batch_size = 8 with gradient_accumulation = 2 in the [[data.phase]]" in str(explained(config, "mps", None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": SYNTHETIC}, "data: needs source = {...}, or sources = [{...}, ...] for several, one of the two"),
        ({"sources": []}, "data: needs source = {...}, or sources"),
        ({"sources": [{"name": "synthetik"}]}, "data.sources.0.name: unknown source 'synthetik'"),
        (
            {"sources": [{**SYNTHETIC, "weigth": 2}]},
            "data.sources.0.weigth: unknown key for source synthetic; did you mean",
        ),
        (
            {"sources": [SYNTHETIC, {"name": "text", "paths": ["a.txt"]}], "phase": []},
            "data.sources.1.name: text has documents, and a training reads tokens",
        ),
        ({"sources": [{**SYNTHETIC, "weight": -1}]}, "data.sources.0.weight: must be at least 0 (got -1)"),
        ({"sources": [{**SYNTHETIC, "weight": True}]}, "data.sources.0.weight: expected a number (got true)"),
        (
            {"sources": [{**SYNTHETIC, "weight": 0}], "phase": []},
            "data.sources: the weight of one source must be above 0",
        ),
        ({"sources": [{**SYNTHETIC, "max_epochs": 0}]}, "data.sources.0.max_epochs: must be greater than 0"),
        ({"phase": [{"seq_len": 8}]}, "data.phase.0: give until (a fraction of the steps) or until_tokens"),
        ({"phase": [{"until": 0.5, "until_tokens": 8}]}, "data.phase.0: give until"),
        ({"phase": [{"until": 1.5}]}, "data.phase.0.until: must be at most 1"),
        ({"phase": [{"until": 0.5}, {"until": 0.5}]}, "data.phase.1.until: 0.5 is not after 0.5, where an earlier"),
        ({"phase": [{"until": 0.5, "seq_len": 12}]}, "which 12 does not divide"),
        ({"phase": [{"until": 0.5, "seq_len": 128}]}, "data.phase.0.seq_len: 128 is more than model.max_seq_len 64"),
        ({"phase": [{"until": 0.5, "weights": [1]}]}, "data.phase.0.weights: has 1 weights for 2 sources"),
        ({"phase": [{"until": 0.5, "weights": [0, 0]}]}, "data.phase.0.weights: one weight must be above 0"),
        (
            {"phase": [{"until": 0.5, "seqlen": 8}]},
            "data.phase.0.seqlen: unknown key for [[data.phase]]; did you mean 'seq_len'?",
        ),
        ({"phase": [{"until": 0.5, "difficulty": "hard"}]}, "expected 'none', 'length' or 'scores'"),
        ({"packing": "bins"}, "data.packing: expected 'stream' or 'documents' (got \"bins\")"),
    ],
)
def test_messages(registry: Registry, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(mixed(**changes)))
    with pytest.raises(ConfigError) as raised:
        load_config(path, registry=registry)
    lines = str(raised.value).splitlines()
    assert any(message in line for line in lines), lines
    assert all("c.toml:" in line for line in lines)


def test_sources_can_be_set_one_by_one(registry: Registry, tmp_path: Path) -> None:
    """Another name drops the former component's keys, and keeps the weight, which is the mixture's."""
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(mixed()))
    overrides = ["data.sources.0.name=tokens", "data.sources.0.path=x.bin", "data.phase.0.until=0.125"]
    config = load_config(path, registry=registry, overrides=overrides).config
    assert config.data.sources[0].weight == 2
    assert config.data.sources[0].component.to_dict() == {"name": "tokens", "path": "x.bin"}
    assert training_phases(config)[0].end_step == 125
