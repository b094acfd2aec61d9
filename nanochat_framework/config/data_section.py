"""`[data]`: what is trained on, in which order, in rows of which form."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nanochat_framework.config.component import StrictModel
from nanochat_framework.config.rules import ComponentTable
from nanochat_framework.config.selection import Select, Selected

Difficulty = Literal["none", "length", "scores"]
Weight = Annotated[float, Field(ge=0)]
MOST_AT_A_TIME = 2**20
"""Sequences in a micro-batch, and micro-batches in a step: far above all use, and low enough to run out of memory at once
instead of gathering rows for hours."""


class SourceRule(ComponentTable):
    """One of `sources = [...]`: a source with its share of the rows."""

    kind: ClassVar[str] = "source"

    weight: float = Field(
        default=1.0, ge=0, strict=True, allow_inf_nan=False, description="Share of the rows, relative to the others'."
    )
    max_epochs: int | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="Passes over this source after which its share goes to the others; no limit if absent.",
    )


class PhaseSection(StrictModel):
    """`[[data.phase]]`: what is different up to some point of training; the rest is as `[data]` and `[train]` say."""

    until: float | None = Field(
        default=None, gt=0, le=1, description="Where the phase ends, as a fraction of all steps."
    )
    until_tokens: int | None = Field(default=None, gt=0, description="Where the phase ends, in tokens since step 0.")
    seq_len: int | None = Field(
        default=None, gt=0, description="Length of a training sequence, in tokens; data.seq_len if absent."
    )
    batch_size: int | None = Field(
        default=None,
        gt=0,
        le=MOST_AT_A_TIME,
        description="Most sequences in one micro-batch; train.batch_size if absent.",
    )
    gradient_accumulation: int | None = Field(
        default=None,
        gt=0,
        le=MOST_AT_A_TIME,
        description="Micro-batches in one step; train.gradient_accumulation if absent.",
    )
    weights: tuple[Weight, ...] = Field(
        default=(), description="Shares of the sources, in their order; their own weights if absent."
    )
    difficulty: Difficulty = Field(
        default="none",
        description='Order of an epoch: "none" by chance, "length" short documents first, "scores" low scores first.',
    )

    @model_validator(mode="after")
    def _ends_somewhere(self) -> Self:
        if (self.until is None) == (self.until_tokens is None):
            raise ValueError("give until (a fraction of the steps) or until_tokens, one of the two")
        return self


class DataSection(StrictModel):
    """`[data]`: what is trained on."""

    source: Annotated[Selected[Any], Select("source")] | None = Field(
        default=None, description="Where the tokens come from."
    )
    sources: tuple[SourceRule, ...] = Field(
        default=(), description="Several sources, each with a weight, instead of the one source."
    )
    seq_len: int = Field(gt=0, description="Length of a training sequence, in tokens.")
    packing: Literal["stream", "documents"] = Field(
        default="stream",
        description='"stream" cuts the tokens into windows; "documents" packs whole documents into rows, padding the rest.',
    )
    document_attention: bool = Field(
        default=False, description="Whether each document in a row is seen alone: positions restart, others are masked."
    )
    phase: tuple[PhaseSection, ...] = Field(default=(), description="Phases before the main one, in order.")

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if (self.source is None) == (not self.sources):
            raise ValueError("needs source = {...}, or sources = [{...}, ...] for several, one of the two")
        return self

    @property
    def all_sources(self) -> tuple[SourceRule, ...]:
        """The sources with their weights; the single one has the weight 1."""
        return self.sources or (SourceRule.model_construct(component=self.source, weight=1.0, max_epochs=None),)
