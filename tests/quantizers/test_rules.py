"""Which weights the tables take, what is refused, and rounding that sets in gradually."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.load import load_config
from nanochat_framework.config.rules import QuantizerWarmup
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.errors import ConfigError
from nanochat_framework.model.build import build_model
from nanochat_framework.model.quantization import set_warmup
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight
from nanochat_framework.plugins import Registry
from nanochat_framework.training.train_module import TrainModule
from tests.conftest import tiny_dict
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]


def _chosen(config: RunConfig) -> dict[str, str]:
    """Weight -> class and settings of its quantizer, "" for none."""
    found: dict[str, str] = {}

    def visit(name: str, module: QuantizableWeight) -> None:
        found[name] = "" if module.quantizer is None else type(module.quantizer.config).__name__  # type: ignore[attr-defined]

    for_each_weight(build_model(config.model, config.quantizer), visit)
    return found


def test_the_first_table_that_matches_a_role_or_a_name_wins(tiny_config: Make) -> None:
    tables = [
        {"match": "blocks.1.*", "name": "int4"},
        {"match": "head", "name": "int8"},
        {"match": "matrix", "name": "ternary"},
    ]
    chosen = _chosen(tiny_config(quantizer=tables, model__tie_embeddings=False))
    assert chosen["embedding.weight"] == ""
    assert chosen["head.weight"] == "Int8Config"
    assert {quantizer for name, quantizer in chosen.items() if name.startswith("blocks.0")} == {"TernaryConfig"}
    assert {quantizer for name, quantizer in chosen.items() if name.startswith("blocks.1")} == {"Int4Config"}


def test_a_star_takes_everything_but_routers(tiny_config: Make) -> None:
    chosen = _chosen(tiny_config(**{**changes("moe"), "quantizer": [{"match": "*", "name": "int8"}]}))
    without = {name for name, quantizer in chosen.items() if not quantizer}
    assert without == {"blocks.0.ffn.router.weight", "blocks.1.ffn.router.weight"}
    assert "embedding.weight" in chosen


@pytest.mark.parametrize(
    ("match", "combination", "message"),
    [
        ("norm", "gqa-swiglu-tied", "it is no linear map and no table"),
        ("residual", "mhc-2", "it is no linear map and no table"),
        ("router", "moe", "routers are never quantised"),
    ],
)
def test_a_table_that_can_quantise_nothing_is_refused(
    registry: Registry, tmp_path: Path, match: str, combination: str, message: str
) -> None:
    table = tiny_dict(**{**changes(combination), "quantizer": [{"match": match, "name": "int8"}]})
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(table))
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), registry=registry)
    (problem,) = caught.value.problems
    assert problem.path == "quantizer.0.match"
    assert message in problem.message


@pytest.mark.parametrize("name", ["ternary", "int4", "int8", "fp8"])
def test_a_quantised_table_is_looked_up_and_multiplied_in_its_rounded_rows(tiny_config: Make, name: str) -> None:
    config = tiny_config(quantizer=[{"match": "embedding", "name": name}])
    model = build_model(config.model, config.quantizer)
    table = model.embedding
    assert isinstance(table, QuantizableWeight)
    quantized = table.quantized()
    assert quantized is not None
    tokens = random_tokens(2, 5)
    assert torch.equal(table(tokens), quantized.dequantize()[tokens])
    hidden = torch.randn(3, 64)
    rounded = table.quantizer.quantize_activations(hidden)  # type: ignore[union-attr]
    torch.testing.assert_close(model.logits(hidden), rounded @ quantized.dequantize().T)
    incoming = torch.randn(2, 5, 64)
    table(tokens).backward(incoming)
    expected = torch.zeros(97, 64).index_add_(0, tokens.flatten(), incoming.flatten(0, 1))
    torch.testing.assert_close(table.weight.grad, expected)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 200))
def test_the_share_grows_in_equal_parts(start_step: int, steps: int, step: int) -> None:
    warmup = QuantizerWarmup(start_step=start_step, steps=steps)
    share = warmup.strength(step)
    assert 0.0 <= share <= 1.0
    assert (share == 0.0) == (step <= start_step)
    assert (share == 1.0) == (step >= start_step + steps)
    if 0.0 < share < 1.0:
        assert warmup.strength(step + 1) - share == pytest.approx(1 / steps)


def _warming(tiny_config: Make, name: str, **warmup: int) -> RunConfig:
    return tiny_config(quantizer=[{"match": "matrix", "name": name, "warmup": warmup}])


@pytest.mark.parametrize("name", ["ternary", "int8", "fp8"])
def test_before_it_a_model_is_float_after_it_quantised_between_them_between(tiny_config: Make, name: str) -> None:
    config = _warming(tiny_config, name, start_step=2, steps=4)
    plain, tokens = tiny_config(quantizer=[{"match": "matrix", "name": name}]), random_tokens(2, 9)
    model = build_model(config.model, config.quantizer)
    floats = build_model(config.model)(tokens)
    rounded = build_model(plain.model, plain.quantizer)(tokens)
    assert torch.equal(model(tokens), rounded), "outside training a model is quantised wholly"
    distances = []
    for step in range(1, 8):
        set_warmup(model, step)
        logits = model(tokens)
        distances.append(float((logits - floats).norm()))
        assert torch.equal(logits, floats) == (step <= 2)
        assert torch.equal(logits, rounded) == (step >= 6), "λ = 1 is plain quantisation, bit for bit"
    assert distances == sorted(distances)


def test_the_weight_between_is_the_straight_line(tiny_config: Make) -> None:
    config = _warming(tiny_config, "int4", steps=4)
    model = build_model(config.model, config.quantizer)
    found: dict[str, QuantizableWeight] = {}
    for_each_weight(model, found.__setitem__)
    linear = found["blocks.0.attention.query.weight"]
    quantized = linear.quantized()
    assert quantized is not None
    set_warmup(model, 1)
    between = linear.weight + 0.25 * (quantized.dequantize() - linear.weight)
    torch.testing.assert_close(linear.prepared(torch.float32), between.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", ["absmean", "learned"])
def test_steps_depend_on_their_number_alone(tiny_config: Make, scale: str) -> None:
    """Going on in another process at step 3 gives step 3."""
    table: dict[str, Any] = {"match": "matrix", "name": "ternary", "scale": scale, "warmup": {"steps": 5}}
    config = tiny_config(quantizer=[table])

    def batch(step: int) -> list[Batch]:
        tokens = random_tokens(2, 17, seed=step)
        return [Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())]

    whole = TrainModule(config, torch.device("cpu"))
    for step in (1, 2):
        whole.step(batch(step), step)
    resumed = TrainModule(config, torch.device("cpu"))
    with torch.no_grad():
        for mine, other in zip(resumed.parameters, whole.parameters, strict=True):
            mine.tensor.copy_(other.tensor)
    resumed.optimizers.load_state_tensors(whole.optimizers.state_tensors())
    for step in (3, 4, 5, 6):
        assert whole.step(batch(step), step).losses == resumed.step(batch(step), step).losses


@pytest.mark.parametrize("warmup", [{"steps": 0}, {"start_step": -1, "steps": 1}, {}, {"steps": 3, "stepz": 1}])
def test_a_wrong_warmup_is_refused(tiny_config: Make, warmup: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="warmup"):
        tiny_config(quantizer=[{"match": "matrix", "name": "ternary", "warmup": warmup}])
