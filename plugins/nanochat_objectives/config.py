"""Configurations of the objectives.

`kept_logits` is for the memory plan; contracts/objective.py says what it counts.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from nanochat_framework.config.component import ComponentConfig


class ZLossConfig(ComponentConfig):
    """`name = "z_loss"`."""

    weight: float = Field(default=1e-4, ge=0, description="Factor of the term in the loss.")


class LabelSmoothingConfig(ComponentConfig):
    """`name = "label_smoothing"`."""

    weight: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the target's probability that is spread evenly over the vocabulary (epsilon).",
    )
    kept_logits: ClassVar[int] = 1


class EntropyConfig(ComponentConfig):
    """`name = "entropy"`."""

    weight: float = Field(
        default=0.0,
        description="Factor of the mean entropy (nats) in the loss: negative rewards spread-out predictions, positive "
        "sharp ones; 0 only logs it as train/entropy.",
    )

    @property
    def kept_logits(self) -> int:
        """Log-probabilities and probabilities."""
        return 2 if self.weight else 0


class MtpConfig(ComponentConfig):
    """`name = "mtp"`: multi-token prediction."""

    n_future_tokens: int = Field(
        default=4, ge=2, le=16, description="Tokens predicted at each position; the first is cross-entropy's own."
    )
    weight: float = Field(default=0.2, ge=0, description="Factor of the further tokens' loss.")
    decay: float = Field(
        default=0.5, gt=0, le=1, description="Weight of each further token against the one before; never below 0.01."
    )
    heads: Literal["own", "tied"] = Field(
        default="own",
        description="own: a map to the vocabulary for each further token; tied: a (dim, dim) map each, then the model's head.",
    )

    @property
    def kept_logits(self) -> int:
        """Each further token's log-probabilities."""
        return self.n_future_tokens - 1


class DistillationConfig(ComponentConfig):
    """`name = "distillation"`: learning from a teacher."""

    teacher: str = Field(
        examples=["runs/teacher"],
        description="Run, checkpoint folder or model file of the same vocabulary; it is read again at each start.",
    )
    weight: float = Field(
        default=1.0, ge=0, description="Factor of the term in the loss, to which cross-entropy is added with 1."
    )
    temperature: float = Field(
        default=2.0, gt=0, le=100, description="Divides the scores of both models before their softmax."
    )
    top_k: int = Field(
        default=64,
        ge=0,
        description="Likeliest tokens of the teacher that are compared one by one, and the others as one; 0: each one.",
    )
    kept_logits: ClassVar[int] = 2

    @property
    def reads_model(self) -> str:
        """The teacher."""
        return self.teacher


class ColliderConfig(ComponentConfig):
    """`[token_filter] name = "collider"`."""

    threshold: float = Field(
        default=0.1,
        ge=0,
        description="Tokens whose cross-entropy is below this are dropped, nats: 0.1 is a probability above 0.905.",
    )
