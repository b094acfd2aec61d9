"""Small models as data, made of whatever parts are registered: what exporters and importers are tried on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from pydantic import ValidationError

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.inference.bundle import tensors_of
from nanochat_framework.inference.tables import select_quantizers
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.tensors import away_from_the_start

VOCAB_SIZE = 304
"""Rows of the embedding; the tokenizer has 300 tokens."""
PARTS = ("attention", "ffn", "residual")


class Bundles:
    """Models of the registered parts, each built when it is first asked for."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.tokenizer = Tokenizer.train(["a small text for a small tokenizer " * 40], 300)
        self._made: dict[str, ModelBundle | None] = {}

    def families(self) -> Iterator[tuple[str, Iterator[ModelBundle]]]:
        """For each registered model, part and quantizer, its name and the models that have it."""
        for kind in ("model", *PARTS, "quantizer"):
            for name in self.registry.names(kind):
                yield f"{kind} {name}", self._with(kind, name)

    def _with(self, kind: str, name: str) -> Iterator[ModelBundle]:
        choices = {each: self.registry.names(each) for each in ("model", *PARTS)}
        if kind in choices:
            choices[kind] = [name]
        for model, *parts in product(*choices.values()):
            bundle = self._bundle(model, dict(zip(PARTS, parts, strict=True)), name if kind == "quantizer" else None)
            if bundle is not None:
                yield bundle

    def _bundle(self, model: str, parts: dict[str, str], quantizer: str | None) -> ModelBundle | None:
        key = json.dumps([model, parts, quantizer])
        if key not in self._made:
            self._made[key] = self._build(model, parts, quantizer)
        return self._made[key]

    def _build(self, model: str, parts: dict[str, str], quantizer: str | None) -> ModelBundle | None:
        """None where the model has no such parts, where they do not go together, or one cannot be built."""
        tables: dict[str, Any] = {
            kind: {"name": name, **Subject.of(kind, name, self.registry).settings} for kind, name in parts.items()
        }
        fields = self.registry.get("model", model).config_class().model_fields
        if not set(tables) <= set(fields):
            return None
        try:
            selected = Subject.of("model", model, self.registry, {"vocab_size": VOCAB_SIZE, **tables}).selected()
        except ValidationError:
            return None
        rules = select_quantizers([{"match": "matrix", "name": quantizer}] if quantizer else [], "", self.registry)
        try:
            built = away_from_the_start(build_model(selected, rules, seed=1))
        except Exception:  # a part that cannot be built breaks laws of its own, none of an exporter's
            return None
        facts = {"name": f"{model} of {', '.join(parts.values())}" + (f" in {quantizer}" if quantizer else "")}
        return ModelBundle(selected, rules, selected.config.describe(), tensors_of(built), self.tokenizer, facts)


_bundles: list[Bundles] = []


def bundles_of(registry: Registry) -> Bundles:
    """The models of a registry; those of the last one are kept."""
    if not _bundles or _bundles[0].registry is not registry:
        _bundles[:] = [Bundles(registry)]
    return _bundles[0]
