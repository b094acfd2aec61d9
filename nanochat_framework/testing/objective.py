"""The laws of a term of the loss (`contracts.objective`)."""

from __future__ import annotations

import math
from unittest import SkipTest

import torch
from torch import Tensor

from nanochat_framework.contracts.objective import HeadChunk, Objective
from nanochat_framework.data.loader import IGNORED_TARGET, Batch
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import expect_close
from nanochat_framework.testing.toy_model import ToyModel, toy_model
from nanochat_framework.training.head_loss import CROSS_ENTROPY, HeadLoss

VOCAB_SIZE = 96
"""Of the model that objectives are built for here: one that reads another model needs one of as many tokens."""
BATCH, SEQ = 4, 12


def built(subject: Subject) -> tuple[Objective, ToyModel]:
    """The objective, prepared, and the model that it is a term for."""
    model = toy_model(VOCAB_SIZE)
    objective: Objective = subject.build(model=model)
    assert isinstance(objective, Objective), f"the factory returns a {type(objective).__name__}, which is no Objective"
    objective.prepare(subject.registry, None, "fp32", torch.device("cpu"))
    return objective, model


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns an `Objective` with a `weight` that is a finite number."""
    objective, _ = built(subject)
    assert isinstance(objective.weight, float | int) and math.isfinite(objective.weight), (
        f"weight is {objective.weight!r}"
    )


def counts_and_terms_are_numbers(subject: Subject) -> None:
    """`count` is () int64, from the targets alone; `terms` is () float32, finite and differentiable."""
    objective, model = built(subject)
    batch = _batch(0)
    count = objective.count(batch.targets)
    assert count.shape == () and count.dtype == torch.int64, f"count is {tuple(count.shape)} {count.dtype}"
    assert int(count) > 0, "a batch full of targets has no terms"
    terms = _terms(objective, model, batch, chunk=BATCH * SEQ)[0]
    assert terms.shape == () and terms.dtype == torch.float32, f"terms are {tuple(terms.shape)} {terms.dtype}"
    assert bool(terms.isfinite()), f"terms are {terms.item()}"


def chunks_add_up(subject: Subject) -> None:
    """However the rows are cut into chunks, the sum of terms and its gradients are the same."""
    objective, model = built(subject)
    batch = _batch(1)
    whole, gradient = _terms(objective, model, batch, chunk=BATCH * SEQ)
    for chunk in (1, 5, SEQ, 17):
        total, found = _terms(objective, model, batch, chunk=chunk)
        expect_close(total, whole, f"the sum over chunks of {chunk} rows", tolerance=1e-4)
        expect_close(found, gradient, f"the gradient over chunks of {chunk} rows", tolerance=1e-3)


def micro_batches_add_up(subject: Subject) -> None:
    """Two micro-batches give the sums, the counts and the gradients of one batch of both: a term depends on its row only."""
    objective, model = built(subject)
    one = _batch(2)
    halves = [Batch(one.tokens[rows], one.targets[rows]) for rows in (slice(0, 1), slice(1, BATCH))]
    counts = [int(objective.count(half.targets)) for half in halves]
    whole = int(objective.count(one.targets))
    assert sum(counts) == whole, f"counts of two micro-batches are {counts}, of both together {whole}"
    expected, sums = _step(objective, model, [one])
    found, parts = _step(objective, model, halves)
    for name, value in sums.items():
        expect_close(parts[name], value, f"the sum of {name} over micro-batches", tolerance=1e-4)
    for name, gradient in expected.items():
        expect_close(found[name], gradient, f"the gradient of {name} over micro-batches", tolerance=1e-3)


def rows_without_a_target_count_for_nothing(subject: Subject) -> None:
    """Rows whose target is -100 have no term and no gradient; a micro-batch without any target has 0 and stays finite."""
    objective, model = built(subject)
    batch = _batch(3)
    targets = batch.targets.clone()
    targets[1:, :] = IGNORED_TARGET
    masked = Batch(batch.tokens, targets)
    changed = batch.tokens.clone()
    changed[1:] = (changed[1:] + 1) % VOCAB_SIZE
    first, gradient = _terms(objective, model, masked, chunk=BATCH * SEQ)
    second, _ = _terms(objective, model, Batch(changed, targets), chunk=BATCH * SEQ)
    expect_close(second, first, "the sum after a change in rows that have no target", tolerance=1e-5)
    assert not bool(gradient[SEQ:].any()), "rows without a target get a gradient"
    nothing = Batch(batch.tokens, torch.full_like(targets, IGNORED_TARGET))
    count = int(objective.count(nothing.targets))
    total, gradient = _terms(objective, model, nothing, chunk=7)
    assert count == 0, f"a micro-batch without targets counts {count} terms"
    assert float(total) == 0.0, f"a micro-batch without targets has the sum {float(total)}"
    assert bool(gradient.isfinite().all()), "a micro-batch without targets has a gradient that is not finite"


def it_teaches_something(subject: Subject) -> None:
    """Its terms have a gradient: with respect to the hidden states, and to every parameter of its own."""
    objective, model = built(subject)
    if objective.weight == 0:
        raise SkipTest("its weight is 0: it is measured and teaches nothing")
    _, gradient = _terms(objective, model, _batch(4), chunk=BATCH * SEQ)
    assert bool(gradient.any()), "no gradient reaches the hidden states"
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), f"its own parameter {name} gets no gradient"


def training_with_it_leaves_the_chunk_alone(subject: Subject) -> None:
    """`terms` changes neither logits nor hidden states in place: other terms read them too."""
    objective, model = built(subject)
    batch = _batch(5)
    objective.begin(batch)
    hidden = model.hidden(batch.tokens).detach().flatten(0, 1).requires_grad_()
    logits = model.logits(hidden)
    kept = logits.detach().clone(), hidden.detach().clone()
    objective.terms(HeadChunk(hidden, logits, batch.targets.flatten(), 0, batch.targets), model)
    assert torch.equal(logits.detach(), kept[0]), "terms changes the logits in place"
    assert torch.equal(hidden.detach(), kept[1]), "terms changes the hidden states in place"


def _batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCAB_SIZE, (BATCH, SEQ + 1), generator=generator)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def _terms(objective: Objective, model: ToyModel, batch: Batch, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Sum of terms over chunks of so many rows, and the gradient of the hidden states (rows, dim)."""
    objective.zero_grad()
    objective.begin(batch)
    rows = model.hidden(batch.tokens).detach().flatten(0, 1)
    flat = batch.targets.flatten()
    gradient, total = torch.zeros_like(rows), torch.zeros(())
    for start in range(0, len(flat), chunk):
        part = slice(start, start + chunk)
        hidden = rows[part].clone().requires_grad_()
        terms = objective.terms(HeadChunk(hidden, model.logits(hidden), flat[part], start, batch.targets), model)
        total = total + terms.detach()
        if terms.requires_grad:
            terms.backward()  # type: ignore[no-untyped-call]
            gradient[part] = 0 if hidden.grad is None else hidden.grad
    return total, gradient


def _step(objective: Objective, model: ToyModel, batches: list[Batch]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients by parameter and sums by term of a step, as training makes them."""
    for module in (model, objective):
        module.zero_grad()
    loss = HeadLoss(model, {"term": objective}, chunk_rows=10)
    counts = {CROSS_ENTROPY: 0.0, "term": 0.0}
    for batch in batches:
        for name, count in loss.counts(batch.targets).items():
            counts[name] += float(count)
    sums: dict[str, Tensor] = {}
    for batch in batches:
        objective.begin(batch)
        for name, value in loss.backward(model.hidden(batch.tokens), batch.targets, counts).items():
            sums[name] = sums.get(name, torch.zeros(())) + value
    named = [*model.named_parameters(), *objective.named_parameters(prefix="objective")]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}, sums


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            counts_and_terms_are_numbers,
            chunks_add_up,
            micro_batches_add_up,
            rows_without_a_target_count_for_nothing,
            it_teaches_something,
            training_with_it_leaves_the_chunk_alone,
        ),
    )
)
