"""The examples in the contracts' own texts keep the contracts."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from nanochat_framework.config.component import ComponentConfig, PartConfig, scheduled
from nanochat_framework.config.quantizer_config import CodeRange, QuantizerConfig
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.errors import UsageError
from nanochat_framework.model import roles
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.state import RecurrentState
from nanochat_framework.plugins import KINDS, Registry, load_plugins
from nanochat_framework.plugins.component import Component
from nanochat_framework.runs.atomic import new_file
from nanochat_framework.testing import check_component
from nanochat_framework.testing import model as model_laws
from nanochat_framework.testing.toy_model import toy_model

HERE = __name__


class NoSettings(PartConfig):
    """None."""


class Rate(ComponentConfig):
    """A learning rate."""

    lr: float = scheduled("Learning rate: size of a step, in units of the weight.", default=1e-2, ge=0)


class Limit(ComponentConfig):
    """A limit of the loss."""

    limit: float = Field(default=9.0, description="Largest loss, in nats.")


class SevenBits(QuantizerConfig):
    """Codes of seven bits."""

    def codes(self) -> CodeRange:
        return CodeRange("integer", -63, 63)

    def group_of(self, in_features: int) -> int:
        return in_features


class OnePath(ComponentConfig):
    """A file."""

    path: str = Field(description="A file of lines.")


def lines(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """The example of an example, in the text of `testing.example_files`; a text of several lines is none that it can hold."""
    if any("\n" in text for text in texts):
        raise ValueError("a line has no line breaks")
    path = folder / "lines.txt"
    path.write_text("".join(f"{text}\n" for text in texts), newline="")
    return {"path": str(path)}


@dataclass(frozen=True)
class Example:
    """Where an example stands, what it is of, and what it is configured by."""

    kind: str
    made: str
    config: str = "NoSettings"
    traits: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


EXAMPLES = [
    Example("attention", "DecayingMean"),
    Example("ffn", "Gelu"),
    Example("norm", "LayerNorm"),
    Example("residual", "Gained"),
    Example("objective", "LargestLogit"),
    Example("token_filter", "Unsure"),
    Example("optimizer", "HeavyBall", "Rate"),
    Example("schedule", "InverseRoot", skipped=("is_free_of_torch",)),
    Example("quantizer", "Rows", "SevenBits"),
    Example("kernel", "build_fused_rms_norm", traits={"operation": "rms_norm", "priority": 20, "requires": ()}),
    Example("exporter", "Names"),
    Example("source", "Lines", "OnePath", {"yields": "documents", "example": f"{HERE}:lines"}),
    Example("evaluation", "Sureness"),
    Example("callback", "LossAlarm", "Limit"),
    Example("tracker", "Losses"),
]
NAMES = {
    "IGNORED_TARGET": IGNORED_TARGET,
    "Linear": Linear,
    "Path": Path,
    "RecurrentState": RecurrentState,
    "UsageError": UsageError,
    "functional": functional,
    "nn": nn,
    "roles": roles,
    "torch": torch,
    "new_file": new_file,
}
"""What the examples use without importing it."""


def _blocks(text: str) -> str:
    """The indented blocks after `::`, one after another."""
    found, inside = [], False
    for line in text.splitlines():
        if line.endswith("::"):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside:
            found.append(line)
    return textwrap.dedent("\n".join(found))


def _made(example: Example) -> Any:
    contract = importlib.import_module(KINDS[example.kind].contract.partition(":")[0])
    code = "from __future__ import annotations\n" + _blocks(contract.__doc__ or "")
    names = {**vars(contract), **NAMES}
    exec(compile(code, contract.__file__ or "", "exec"), names)
    return names[example.made]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.kind}-{example.made}")
def test_an_example_keeps_its_contract(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "made", _made(example))
    heavy = "nanochat_framework.testing.configuration.imported"  # this module computes; an author's would be two
    monkeypatch.setattr(heavy, lambda module: ([], ""))
    monkeypatch.setattr("nanochat_framework.testing.schedule.imported", lambda module: ([], ""))
    name = f"rms_norm/{example.made}" if example.kind == "kernel" else f"example/{example.made.lower()}"
    about = {"summary": "an example", "plugin": "docs", "distribution": "docs", "version": "0"}
    component = Component(
        example.kind, name, f"{HERE}:{example.config}", f"{HERE}:made", traits=example.traits, **about
    )
    registry = Registry()
    registry.commit([*load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry.components(), component])
    check_component(example.kind, name, registry)


def test_every_contract_has_an_example() -> None:
    assert {example.kind for example in EXAMPLES} == set(KINDS) - {"model", "importer"}, (
        "the smallest model is testing.toy_model; an importer is the other half of an exporter"
    )


class _Toy:
    """The toy model where the laws expect a component."""

    class config:  # noqa: N801
        vocab_size, max_seq_len, dim = 97, 64, 16

    def build(self) -> nn.Module:
        return toy_model(97)


@pytest.mark.parametrize("law", model_laws.LAWS, ids=str)
def test_the_smallest_model_keeps_its_contract(law: Any) -> None:
    if law.name == "the_description_is_the_module":
        pytest.skip("it has no configuration that could describe it")
    law.check(_Toy())
