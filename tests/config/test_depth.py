"""`depth`: sizes by nanochat's rules for those who ask, and for nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.dump import dump_toml
from nanochat_framework.config.load import LoadedConfig, load_config
from nanochat_framework.errors import ConfigError
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.plugins import load_plugins
from nanochat_models.depth import sizes, whole_heads
from tests.conftest import tiny_dict

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
BARE = {
    "name": "decoder",
    "vocab_size": 65536,
    "max_seq_len": 2048,
    "attention": {"name": "gqa"},
    "ffn": {"name": "relu2"},
    "norm": {"name": "rms", "affine": False},
    "residual": {"name": "add"},
}


def load(path: Path, model: dict[str, Any], *overrides: str) -> LoadedConfig:
    path.write_text(tomli_w.dumps(tiny_dict(model={**BARE, **model})))
    return load_config(path, registry=REGISTRY, overrides=overrides)


@pytest.mark.parametrize(
    ("depth", "rule", "dim", "n_heads", "head_dim"),
    [  # the sizes that nanochat's own code gives at d575940 (2025-12-08) and 92d63d4 (2026-07-03)
        (4, "nanochat-2025", 256, 2, 128),
        (1, "nanochat-2025", 64, 1, 64),
        (7, "nanochat-2025", 448, 4, 112),
        (20, "nanochat-2025", 1280, 10, 128),
        (32, "nanochat-2025", 2048, 16, 128),
        (6, "nanochat-2026", 384, 3, 128),
        (7, "nanochat-2026", 512, 4, 128),
        (12, "nanochat-2026", 768, 6, 128),
        (26, "nanochat-2026", 1664, 13, 128),
    ],
)
def test_sizes_are_nanochats(depth: int, rule: Any, dim: int, n_heads: int, head_dim: int, tmp_path: Path) -> None:
    model = load(tmp_path / "x.toml", {"depth": depth, "depth_rule": rule}).config.model.config
    attention = model.attention.config
    assert (model.dim, model.n_layers, model.ffn.config.hidden_dim) == (dim, depth, 4 * dim)
    assert (attention.n_heads, attention.n_kv_heads, attention.head_dim) == (n_heads, n_heads, head_dim)


def test_the_parameters_are_nanochats(tmp_path: Path) -> None:
    config = load(tmp_path / "x.toml", {"depth": 32}).config
    assert count_parameters(take_inventory(config)).total == 1_879_048_192


def test_a_preset_written_out_has_the_sizes_of_its_depth() -> None:
    for depth in (20, 26, 32):
        plain = load_config(f"nanochat-d{depth}", registry=REGISTRY)
        asked = load_config(f"nanochat-d{depth}", registry=REGISTRY, overrides=[f"model.depth={depth}"])
        asked_again = asked.config.to_dict()
        assert asked_again["model"].pop("depth") == depth
        assert asked_again == plain.config.to_dict()


def test_nothing_is_derived_unasked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "x.toml", {})
    missing = {problem.path for problem in error.value.problems}
    heads = {f"model.attention.{key}" for key in ("n_heads", "n_kv_heads", "head_dim")}
    assert missing == {"model.dim", "model.n_layers", "model.ffn.hidden_dim", *heads}


def test_what_is_given_stays(tmp_path: Path) -> None:
    given = {"depth": 12, "n_layers": 3, "attention": {"name": "gqa", "n_kv_heads": 2}}
    loaded = load(tmp_path / "x.toml", given, "model.ffn.hidden_dim=100")
    model = loaded.config.model.config
    assert (model.dim, model.n_layers, model.ffn.config.hidden_dim) == (768, 3, 100)
    assert (model.attention.config.n_heads, model.attention.config.n_kv_heads) == (6, 2)
    origin = loaded.provenance.origin
    assert str(origin(("model", "dim"))) == "derived from model.depth = 12"
    assert origin(("model", "n_layers")).kind == "file"
    assert origin(("model", "ffn", "hidden_dim")).kind == "set"
    assert origin(("model", "attention", "n_heads")).kind == "derived"


def test_a_depth_that_is_said_later_replaces_sizes_below(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('extends = "tiny-cpu"\n[model]\ndepth = 2\nn_layers = 5\n')
    model = load_config(tmp_path / "x.toml", registry=REGISTRY).config.model.config
    assert (model.dim, model.n_layers, model.attention.config.n_heads, model.ffn.config.hidden_dim) == (128, 5, 1, 512)
    deeper = load_config(tmp_path / "x.toml", registry=REGISTRY, overrides=["model.depth=6"]).config.model.config
    assert (deeper.dim, deeper.n_layers) == (384, 6)
    wider = load_config(tmp_path / "x.toml", registry=REGISTRY, overrides=["model.dim=64", "model.depth=6"])
    assert wider.config.model.config.dim == 64, "both were set"


def test_parts_get_the_sizes_that_they_have(tmp_path: Path) -> None:
    moe = {"depth": 2, "ffn": {"name": "moe", "n_experts": 4}}
    assert load(tmp_path / "x.toml", moe).config.model.config.ffn.config.hidden_dim == 512
    bare = load(tmp_path / "x.toml", {"depth": 2, "ffn": "swiglu", "attention": "gqa"}).config.model.config
    assert bare.attention.config.n_heads == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"depth": 5, "depth_rule": "nanochat-2025"}, "model.depth_rule: gives no whole heads at depth 5"),
        ({"depth_rule": "nanochat-2025"}, "model.depth_rule: says how sizes follow from depth, and there is no depth"),
        ({"depth": 0}, "model.depth: must be greater than 0"),
        ({"depth": "20"}, "model.depth: expected an integer"),
        ({"depth": True}, "model.depth: expected an integer"),
        ({"depth": 2, "depth_rule": "nanochat"}, "model.depth_rule: expected 'nanochat-2025' or 'nanochat-2026'"),
        ({"depth": 20, "attention": {"name": "gqa", "n_kv_heads": 3}}, "n_kv_heads 3 must divide n_heads 10"),
        ({"depth": 2, "attention": {"name": "gqaa"}}, "did you mean 'gqa'?"),
        ({"depth": 2, "attention": 3}, "model.attention: expected a table"),
    ],
)
def test_mistakes(model: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "x.toml", model)
    assert any(message in str(problem) for problem in error.value.problems), str(error.value)


@given(depth=st.integers(1, 1000), rule=st.sampled_from(["nanochat-2025", "nanochat-2026"]))
def test_sizes_agree_with_each_other(depth: int, rule: Any) -> None:
    found = sizes(depth, rule)
    attention = found["attention"]
    assert found["dim"] >= 64 * depth
    if rule == "nanochat-2026":
        assert whole_heads(depth, rule)
        assert (attention["head_dim"], found["dim"] % 128) == (128, 0)
    if whole_heads(depth, rule):
        assert attention["n_heads"] * attention["head_dim"] == found["dim"]


def test_a_dump_says_the_same(tmp_path: Path) -> None:
    config = load(tmp_path / "x.toml", {"depth": 7, "depth_rule": "nanochat-2025"}).config
    (tmp_path / "again.toml").write_text(dump_toml(config))
    assert load_config(tmp_path / "again.toml", registry=REGISTRY).config == config
