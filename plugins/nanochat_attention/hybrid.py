"""Two kinds of attention in one model: which layer gets which. Torch-free; the kinds bring their own implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from nanochat_framework.config.component import AttentionConfig
from nanochat_framework.config.selection import Select, Selected
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Operation

if TYPE_CHECKING:
    from nanochat_framework.contracts.attention import Attention

Kind = Literal["full", "linear"]
EXAMPLE: dict[str, Any] = {
    "full": {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16},
    "linear": {"name": "deltanet", "n_heads": 4, "head_dim": 16},
    "linear_ratio": 0.5,
}


class HybridConfig(AttentionConfig):
    """`attention = { name = "hybrid", full = { ... }, linear = { ... } }`."""

    model_config: ClassVar[ConfigDict] = {"json_schema_extra": {"examples": [EXAMPLE]}}

    full: Annotated[Selected[Any], Select("attention")] = Field(description="The one kind, usually softmax attention.")
    linear: Annotated[Selected[Any], Select("attention")] = Field(description="The other kind, usually a recurrence.")
    linear_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the layers that are linear, spread evenly: 0.2 of 20 layers are layers 2, 7, 12 and 17.",
    )
    pattern: tuple[Kind, ...] | None = Field(
        default=None,
        min_length=1,
        description="Kinds of the first layers, repeated for the rest; instead of linear_ratio.",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.linear_ratio is None) == (self.pattern is None):
            raise ValueError("say where the linear layers are: by linear_ratio, or by pattern")
        return self

    def kind(self, place: Place) -> Kind:
        """The kind of a layer."""
        layer = place.layer or 0
        if self.pattern is not None:
            return self.pattern[layer % len(self.pattern)]
        return "linear" if layer in linear_layers(place.n_layers, self.linear_ratio or 0.0) else "full"

    def chosen(self, place: Place) -> Selected[Any]:
        """The attention of a layer."""
        return self.linear if self.kind(place) == "linear" else self.full

    def value_heads(self, place: Place) -> tuple[int, int] | None:
        """Those of the layer's kind."""
        config = self.chosen(place).config
        return config.value_heads(place) if isinstance(config, AttentionConfig) else None

    def describe(self, place: Place) -> Operation:
        """That of the layer's kind: nothing downstream needs to know that the model is a hybrid."""
        described: Operation = self.chosen(place).config.describe(place)
        return described


def linear_layers(n_layers: int, ratio: float) -> frozenset[int]:
    """round(n_layers · ratio) layers at the centres of as many bins of equal width."""
    count = round(n_layers * ratio)
    return frozenset((2 * k + 1) * n_layers // (2 * count) for k in range(count))


def build_hybrid(config: HybridConfig, *, place: Place) -> Attention:
    """Factory of `hybrid`: the layer's attention itself."""
    built: Attention = config.chosen(place).build(place=place)
    return built
