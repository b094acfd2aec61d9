"""Settings of acme/widget; imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from nanochat_framework.config.component import ModelConfig
from nanochat_framework.model import roles
from nanochat_framework.model.description import (
    AddResidual,
    Embedding,
    Linear,
    ModelDescription,
    Opaque,
    RmsNorm,
    TensorSpec,
)

EXAMPLE: JsonDict = {"dim": 32, "vocab_size": 97, "max_seq_len": 64}
"""Sizes have no default; the contract suite builds the model with these."""


class WidgetConfig(ModelConfig):
    """`[model] name = "acme/widget"`.

    `dim`, `vocab_size` and `max_seq_len` are settings of every model.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    n_tokens: int = Field(default=8, gt=0, description="Tokens that a prediction is made from.")

    def describe(self) -> ModelDescription:
        """The whole model, from its settings alone; names, shapes and roles are those of the built one."""
        table = (self.vocab_size, self.dim)
        context = TensorSpec("context.weight", (self.dim, self.n_tokens * self.dim), roles.MATRIX)
        return ModelDescription(
            dim=self.dim,
            vocab_size=self.vocab_size,
            max_seq_len=self.max_seq_len,
            embedding=Embedding(TensorSpec("embedding.weight", table, roles.EMBEDDING)),
            blocks=(),
            residual=AddResidual(),
            final_norm=RmsNorm(self.dim, 1e-6),
            head=Linear(TensorSpec("head.weight", table, roles.HEAD)),
            extras=(Opaque("model acme/widget", (context,)),),
        )
