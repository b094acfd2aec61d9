"""Configurations of the optimizers. Fields made with `scheduled` may follow a schedule over the steps.

Each says what it costs, for the memory plan: `state_bytes_per_parameter`, and `workspace_bytes` of what one update of
parameters of the given shapes needs for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig, scheduled
from nanochat_optimizers.batching import Shape, batches, itself, stacks, weights_in

FP32 = 4
"""Bytes."""
BLOCK = 128
"""Values that share a scale in 8-bit state."""
AO_BLOCK = 256
"""The same in torchao's."""
BLOCKWISE_INT8 = 1 + FP32 / BLOCK
"""Bytes of one value in 8-bit state."""

Beta = Annotated[float, Field(ge=0, lt=1)]

_DECAY = "Decoupled decay: each step takes lr · weight_decay of the weight away."


class AdamwConfig(ComponentConfig):
    """`name = "adamw"`."""

    lr: float = scheduled("Learning rate: size of a step, in units of the weight.", default=3e-4, ge=0)
    weight_decay: float = scheduled(_DECAY, default=0.0, ge=0)
    betas: tuple[Beta, Beta] = Field(
        default=(0.9, 0.95), description="Decay per step of the averages of the gradient and of its square."
    )
    eps: float = Field(default=1e-8, gt=0, description="Added to the root of the averaged square.")
    state_bytes_per_parameter: ClassVar[float] = 2 * FP32

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """None: the fused update has no temporaries."""
        return 0


class Adamw8bitConfig(AdamwConfig):
    """`name = "adamw_8bit"`: torchao's AdamW with both averages in 8 bits."""

    compile: bool = Field(
        default=True,
        description="Whether torchao's update is compiled, as torchao means it: the first step waits for that, later ones "
        "take a fifth of the time and a fraction of the temporaries.",
    )

    @property
    def library_bytes(self) -> int:
        """torchao, torch's tracer and, compiled, its compiler, in the process's own memory (measured on a CPU)."""
        return 178_000_000 if self.compile else 118_000_000

    def state_bytes(self, shapes: Sequence[Shape]) -> int:
        """Codes, scales and two tables of 256 values for a tensor in 8 bits, float32 for one that is not; a count."""
        total = 0
        for size in map(prod, shapes):
            in_8_bits = size + FP32 * size // AO_BLOCK + FP32 * 256
            total += FP32 + 2 * (in_8_bits if _in_8_bits(size) else FP32 * size)
        return total

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """Both averages of the largest parameter; uncompiled, what looking codes up takes (int64 indices)."""
        return (2 * FP32 if self.compile else 53) * max(map(prod, shapes), default=0)


class LionConfig(ComponentConfig):
    """`name = "lion"`."""

    lr: float = scheduled("Learning rate: what every weight moves by in a step.", default=1e-4, ge=0)
    weight_decay: float = scheduled(_DECAY, default=0.0, ge=0)
    betas: tuple[Beta, Beta] = Field(
        default=(0.9, 0.99),
        description="Share of the momentum in the update's sign, and decay per step of the momentum.",
    )
    state_bytes_per_parameter: ClassVar[float] = FP32

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """The signs of one batch."""
        return FP32 * max((weights_in(batch) for batch in batches(shapes, itself)), default=0)


class MuonConfig(ComponentConfig):
    """`name = "muon"`: for matrices and stacks of matrices only."""

    lr: float = scheduled("Learning rate: spectral norm of a step, before `shape_scale`.", default=0.02, ge=0)
    momentum: float = scheduled("Decay per step of the averaged gradient.", default=0.95, ge=0, lt=1)
    weight_decay: float = scheduled(_DECAY, default=0.0, ge=0)
    cautious_decay: bool = Field(
        default=False,
        description="Whether only weights that the step takes nearer to zero, or leaves, decay (cautious weight decay).",
    )
    nesterov: bool = Field(
        default=True, description="Whether the update looks ahead: the gradient mixed into the momentum once more."
    )
    ns_steps: int = Field(default=5, ge=1, le=10, description="Newton-Schulz iterations.")
    coefficients: Literal["newton_schulz", "polar_express"] = Field(
        default="newton_schulz",
        description="Polynomials of the iterations: newton_schulz brings singular values into [0.68, 1.2] with one, "
        "polar_express into [0.85, 1.12] in 5 steps and [0.99, 1.01] in 6 with one for each step (not made for fewer).",
    )
    shape_scale: Literal["none", "spectral", "rms"] = Field(
        default="spectral",
        description="Factor on lr by the matrix's shape: none is 1, spectral is sqrt(max(1, rows / columns)), rms is "
        "0.2 · sqrt(max(rows, columns)), which gives steps the size of AdamW's.",
    )
    split_heads: bool = Field(
        default=False,
        description="Whether the rows of each attention head (queries, keys, values, output gates) are a matrix of their "
        "own. An attention's output map stays whole.",
    )
    neuron_beta2: Beta | None = Field(
        default=None,
        description="Decay per step of the averaged square of each row of the direction, by the root of which the row is "
        "divided (NorMuon, which uses 0.95); absent: rows stay as they are. One float32 of state for each row.",
    )
    orthogonalize_in: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Number format of the iterations; auto: bf16 where the device has instructions for it, else fp32.",
    )
    tensor_dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    """A matrix, or a stack of them."""
    state_bytes_per_parameter: ClassVar[float] = FP32

    def state_bytes(self, shapes: Sequence[Shape]) -> int:
        """The momentum, and what `neuron_beta2` averages for each row."""
        neurons = 0 if self.neuron_beta2 is None else weights_in(shape[:-1] for shape in shapes)
        return int(self.state_bytes_per_parameter * weights_in(shapes)) + FP32 * neurons

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """At most a stack of directions and, of an iteration, its old and new values and two Gram matrices.

        With `split_heads` an estimate, for matrices that stay whole: which ones do not is not told by their shapes.
        """
        each = 2 if self.orthogonalize_in == "bf16" else FP32
        peaks = [0]
        for stack in stacks(shapes, itself):
            weights, (rows, columns) = weights_in(stack), stack[0][-2:]
            gram = weights * min(rows, columns) // max(rows, columns)
            peaks.append(FP32 * weights + each * (2 * weights + 2 * gram))
        return max(peaks)


class Lion8bitConfig(LionConfig):
    """`name = "lion_8bit"`: Lion with its momentum in 8 bits."""

    state_bytes_per_parameter: ClassVar[float] = BLOCKWISE_INT8

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """The momentum of one parameter, the signs made from it, then its blocks and the draws."""
        return FP32 * 2 * max(map(_in_blocks, shapes), default=0)


class Muon8bitConfig(MuonConfig):
    """`name = "muon_8bit"`: Muon with its momentum in 8 bits."""

    state_bytes_per_parameter: ClassVar[float] = BLOCKWISE_INT8

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """Muon's or, while momenta are kept: a stack of directions, their momenta, and the draws of one."""
        keeping = (2 * weights_in(stack) + max(map(_in_blocks, stack)) for stack in stacks(shapes, itself))
        return max(super().workspace_bytes(shapes), FP32 * max(keeping, default=0))


class GaloreConfig(ComponentConfig):
    """`name = "galore"`: AdamW on matrices, in a low-rank space."""

    lr: float = scheduled("Learning rate: size of a step, in units of the weight.", default=1e-2, ge=0)
    weight_decay: float = scheduled(_DECAY, default=0.0, ge=0)
    rank: int = Field(default=128, ge=1, description="Directions kept of each matrix's shorter side.")
    refresh_every: int = Field(default=200, ge=1, description="Updates between choices of the directions.")
    scale: float = Field(
        default=0.25, gt=0, le=10**6, description="Factor on the update when it is brought back to full size."
    )
    betas: tuple[Beta, Beta] = Field(
        default=(0.9, 0.999), description="Decay per step of the averages of the projected gradient and of its square."
    )
    eps: float = Field(default=1e-8, gt=0, description="Added to the root of the averaged square.")

    tensor_dimensions: ClassVar[tuple[int, ...]] = (2,)

    def state_bytes(self, shapes: Sequence[Shape]) -> int:
        """The directions of the shorter side, and two averages of the projected gradient; a count for each."""
        total = 0
        for shape in shapes:
            short, long = sorted(shape)
            rank = min(self.rank, short)
            total += FP32 * (short * rank + 2 * rank * long + 1)
        return total

    def workspace_bytes(self, shapes: Sequence[Shape]) -> int:
        """Of the largest matrix: the update at full size, and two tensors in the low-rank space."""
        return max(
            (FP32 * (s[0] * s[1] + 2 * min(self.rank, *s) * max(s)) for s in shapes),
            default=0,
        )


def _in_8_bits(size: int) -> bool:
    """torchao's rule for which tensors have 8-bit averages."""
    return size >= 4096 and size % AO_BLOCK == 0


def _in_blocks(shape: Shape) -> int:
    """Weights of a shape, filled up to whole blocks."""
    return -(-weights_in([shape]) // BLOCK) * BLOCK
