"""Configurations of the quantizers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nanochat_framework.config.component import ComponentConfig


def _check_group_size(value: Any) -> Any:
    """One message for what would otherwise be one error for each alternative."""
    if value in ("row", "tensor") or (type(value) is int and value > 0 and value % 32 == 0):
        return value
    raise PydanticCustomError(
        "group_size", "a group is a multiple of 32 inputs, 'row' or 'tensor', not {value}", {"value": repr(value)}
    )


class TernaryConfig(ComponentConfig):
    """`name = "ternary"`."""

    group_size: Annotated[int | Literal["row", "tensor"], BeforeValidator(_check_group_size)] = Field(
        default=256,
        description="Inputs that share a scale: a multiple of 32, 'row' for one scale an output, 'tensor' for one a "
        "matrix. GGUF's ternary types hold 256, 'row' and 'tensor' bit for bit.",
    )
    activation_bits: Literal[8, 0] = Field(
        default=8, description="Bits of an activation, with one scale a position; 0 leaves activations as they are."
    )
