"""Settings, in a module of their own: listings and plans read them, and must not wait for torch."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig, PartConfig
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Opaque, TensorSpec


class AftConfig(PartConfig):
    """`attention = { name = "field/aft" }`."""

    inner_dim: int = Field(default=256, gt=0, description="Width of queries, keys and values, in channels.")
    key_limit: float = Field(
        default=6.0, gt=0, le=20, description="Keys k become c · tanh(k / c): no weight is above exp(2c) times another."
    )

    def describe(self, place: Place) -> Opaque:
        """The tensors, so that the plan counts them, quantizers find them and exporters that need no more write them.

        There is no operation for this mixer in `model.description`: a GGUF file with it is one for nanochat, not for stock
        llama.cpp, and the exporter says that this part is why.
        """
        inner, dim = self.inner_dim, place.dim
        shapes = {"query": (inner, dim), "key": (inner, dim), "value": (inner, dim), "output": (dim, inner)}
        specs = (TensorSpec(place.name(f"{name}.weight"), shape, roles.MATRIX) for name, shape in shapes.items())
        return Opaque("attention field/aft", tuple(specs))


class BracketsConfig(ComponentConfig):
    """`nanochat eval MODEL --tasks field/brackets`."""

    prompts: tuple[str, ...] = Field(
        default=("def ", "import ", "class ", "    return "),
        min_length=1,
        description="Texts that the model goes on from.",
    )
    samples_per_prompt: int = Field(default=8, gt=0, description="Texts that are written from each prompt.")
    max_tokens: int = Field(default=128, gt=0, description="Tokens of a text at most.")
    temperature: float = Field(default=0.8, ge=0, description="Divides the scores before drawing.")
