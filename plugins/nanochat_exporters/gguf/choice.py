"""Which type each tensor of a model is to be stored in: what the options ask for, by the tensor's role."""

from __future__ import annotations

from collections.abc import Sequence

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.placement import Placement, Weight
from nanochat_exporters.gguf.storage import choose_block_type, is_ternary
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.model import roles
from nanochat_framework.model.description import TensorSpec, walk
from nanochat_framework.model.quantized import QuantizedWeight

LaidOut = tuple[Placement, Weight | None]
"""A tensor of the file before it has a type; None where the model has none for it."""


class StorageChoice:
    """The options applied to a model. Raises UsageError for an option that would change nothing, naming the reason."""

    def __init__(self, config: GgufConfig, bundle: ModelBundle, laid_out: Sequence[LaidOut]) -> None:
        self._config, self._bundle, self._laid_out = config, bundle, laid_out
        self._embedding = bundle.description.embedding.weight.name
        self._head = bundle.description.head.weight.name if bundle.description.head else None
        self._roles = {spec.name: spec.role for spec in walk(bundle.description) if isinstance(spec, TensorSpec)}
        self._ternary = {
            name: is_ternary(tensor) for name, tensor in bundle.tensors.items() if isinstance(tensor, QuantizedWeight)
        }
        self._refuse_what_has_no_effect()

    def of_place(self, place: Placement) -> str:
        """The ggml type of the file's tensor, or the one wanted for its codes; Q4_0 where its parts want different ones."""
        kinds = {self.of(name) for name in place.names}
        return kinds.pop() if len(kinds) == 1 else "Q4_0"

    def of(self, name: str) -> str:
        """The ggml type of a float tensor of the model, or the one wanted for its codes."""
        if name in self._ternary:
            return self._config.ternary_type.upper() if self._ternary[name] else "Q4_0"
        if name in (self._embedding, self._head):
            return self._table_type(name).upper()
        return (self._config.type if self._roles.get(name) == roles.MATRIX else "f32").upper()

    def rounded(self) -> dict[str, str]:
        """Parameter name -> ggml type, of every float tensor that is not stored as F32."""
        floats = [name for name in self._bundle.tensors if name not in self._ternary]
        return {name: kind for name in floats if (kind := self.of(name)) != "F32"}

    def lines(self) -> list[str]:
        """What the person should know: what was rounded, and where the type asked for could not be had."""
        wanted, instead = self._config.ternary_type.upper(), self._instead()
        asked = "ternary_type" in self._config.model_fields_set
        found = [
            f"not in {wanted}: {name}, which goes into {kind}" for name, kind in list(instead.items())[: 3 * asked]
        ]
        rounded = self.rounded()
        for kind in sorted(set(rounded.values())):
            names = [name for name, its in rounded.items() if its == kind]
            what = names[0] if len(names) == 1 else f"{len(names)} float tensors, {names[0]} first,"
            found.append(f"rounded to {kind} as asked: {what}")
        return found

    def _table_type(self, name: str) -> str:
        config = self._config
        if name == self._head:
            return config.head_type or config.type
        return config.embedding_type or (config.head_type if self._head is None else None) or config.type

    def _refuse_what_has_no_effect(self) -> None:
        config = self._config
        both = (config.embedding_type, config.head_type)
        if self._head is None and None not in both and both[0] != both[1]:
            raise UsageError(
                f"head_type={both[1]}: the head of this model is its embedding, which embedding_type={both[0]} names"
            )
        for option, name in (("embedding_type", self._embedding), ("head_type", self._head or self._embedding)):
            if name in self._ternary and getattr(config, option) is not None:
                raise UsageError(f"{option}: training quantised {name}, whose codes are stored as they are")
        ternary = [name for name, is_so in self._ternary.items() if is_so]
        if "ternary_type" in config.model_fields_set and len(self._instead()) == len(ternary):
            why = (
                "the type holds none of this model's ternary weights"
                if ternary
                else "no weight of this model is ternary"
            )
            raise UsageError(f"ternary_type={config.ternary_type}: {why}")

    def _instead(self) -> dict[str, str]:
        """The ternary weights that the wanted type cannot hold, and what they go into."""
        found = {}
        for place, whole in self._laid_out:
            if isinstance(whole, QuantizedWeight) and any(self._ternary[name] for name in place.names):
                kind = choose_block_type(place.names[0], whole, self.of_place(place)).name
                found.update({name: kind for name in place.names if self._ternary[name] and kind != self.of(name)})
        return found
