"""Configurations of the quantizers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nanochat_framework.config.quantizer_config import CodeRange, QuantizerConfig


def _check_group_size(value: Any) -> Any:
    """One message for what would otherwise be one error for each alternative."""
    if value in ("row", "tensor") or (type(value) is int and value > 0 and value % 32 == 0):
        return value
    raise PydanticCustomError(
        "group_size", "a group is a multiple of 32 inputs, 'row' or 'tensor', not {value}", {"value": repr(value)}
    )


GroupSize = Annotated[int | Literal["row", "tensor"], BeforeValidator(_check_group_size)]


class IntegerConfig(QuantizerConfig):
    """What quantizers to whole numbers have in common."""

    smallest: ClassVar[int]
    largest: ClassVar[int]
    scale_bits: ClassVar[Literal[8, 11]] = 11
    """Significant bits of a scale: all that float16 has, or as many as bfloat16 has too."""

    group_size: GroupSize
    activation_bits: Literal[8, 0]

    @property
    def scale_rule(self) -> str:
        """How scales are found: `scale` where a quantizer leaves a choice."""
        return getattr(self, "scale", "absmax")

    @property
    def first_scale(self) -> str:
        """The rule by which a scale is found, or its search begins: "absmean" or "absmax"."""
        if self.scale_rule in ("absmean", "absmax"):
            return self.scale_rule
        return "absmean" if self.largest == 1 else "absmax"

    def codes(self) -> CodeRange:
        """From `smallest` to `largest`."""
        return CodeRange("integer", self.smallest, self.largest)

    def group_of(self, in_features: int) -> int:
        """The configured size, or the whole row."""
        return in_features if isinstance(self.group_size, str) else self.group_size

    def rounds_activations(self) -> bool:
        """Unless `activation_bits` is 0."""
        return self.activation_bits > 0

    def scale_parameters(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """One for each scale, if they are learned."""
        if self.scale_rule != "learned":
            return None
        *rows, columns = shape
        return (1, 1) if self.group_size == "tensor" else (*rows, -(-columns // self.group_of(columns)))


class TernaryConfig(IntegerConfig):
    """`name = "ternary"`."""

    smallest, largest = -1, 1
    scale_bits = 8  # a code is at most 1, so a product in bfloat16 loses no bit of the weight

    group_size: GroupSize = Field(
        default=256,
        description="Inputs that share a scale: a multiple of 32, 'row' for one scale an output, 'tensor' for one a "
        "matrix. GGUF's ternary types hold 256, 'row' and 'tensor' bit for bit.",
    )
    scale: Literal["absmean", "absmax", "least_squares", "learned"] = Field(
        default="absmean",
        description="How a group's scale is found: the mean of the magnitudes, the largest, the one of least squared "
        "error, or a parameter that starts at the mean and is trained (role quantizer_scale).",
    )
    activation_bits: Literal[8, 0] = Field(
        default=8, description="Bits of an activation, with one scale a position; 0 leaves activations as they are."
    )


class Int8Config(IntegerConfig):
    """`name = "int8"`."""

    smallest, largest = -127, 127

    group_size: GroupSize = Field(
        default="row",
        description="Inputs that share a scale, their largest magnitude / 127: a multiple of 32, 'row' for one scale an "
        "output, 'tensor' for one a matrix. GGUF's Q8_0 holds every one of them bit for bit.",
    )
    activation_bits: Literal[8, 0] = Field(
        default=0, description="Bits of an activation, with one scale a position; 0 leaves activations as they are."
    )


class Int4Config(IntegerConfig):
    """`name = "int4"`."""

    smallest, largest = -8, 7

    group_size: GroupSize = Field(
        default=32,
        description="Inputs that share a scale: a multiple of 32, 'row' for one scale an output, 'tensor' for one a "
        "matrix. GGUF's Q4_0 holds every one of them bit for bit.",
    )
    scale: Literal["absmax", "least_squares", "learned"] = Field(
        default="absmax",
        description="How a group's scale is found: its largest magnitude / 7, the one of least squared error, or a "
        "parameter that starts at the former and is trained (role quantizer_scale).",
    )
    activation_bits: Literal[8, 0] = Field(
        default=0, description="Bits of an activation, with one scale a position; 0 leaves activations as they are."
    )


class Fp8Config(QuantizerConfig):
    """`name = "fp8"`."""

    format: Literal["e4m3", "e5m2"] = Field(
        default="e4m3",
        description="Bits of exponent and mantissa: e4m3 is finer, e5m2 reaches further. Scales are powers of two.",
    )
    group_size: Literal["row", "tensor"] = Field(
        default="row",
        description="Inputs that share a scale: 'row' for one scale an output, 'tensor' for one a matrix.",
    )
    activation_bits: Literal[8, 0] = Field(
        default=8,
        description="8 rounds activations to the same format, with one scale a position; 0 leaves them as they are.",
    )

    def codes(self) -> CodeRange:
        """The finite values of the format."""
        largest = 448 if self.format == "e4m3" else 57344
        return CodeRange(self.format, -largest, largest)

    def group_of(self, in_features: int) -> int:
        """The whole row."""
        return in_features

    def kept_bytes(self) -> int:
        """The codes, which products of rounded activations multiply."""
        return int(self.rounds_activations())

    def rounds_activations(self) -> bool:
        """Unless `activation_bits` is 0."""
        return self.activation_bits > 0
