"""The laws of a whole model (`contracts.model`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model.build import PRECISIONS, set_precision
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.parameters import check_description
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import away_from_the_start, expect_close, expect_gradients

LENGTH = 19


def built(subject: Subject) -> LanguageModel:
    """The model in evaluation mode, its weights away from where they start."""
    model: LanguageModel = subject.build()
    return away_from_the_start(model).eval()


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `LanguageModel` with the `vocab_size` and `max_seq_len` of its configuration."""
    model, config = built(subject), subject.config
    assert isinstance(model, LanguageModel), f"the factory returns a {type(model).__name__}, which is no LanguageModel"
    for size in ("vocab_size", "max_seq_len"):
        found, said = getattr(model, size, None), getattr(config, size)
        assert found == said, f"{size} is {found}, the configuration says {said}"


def the_description_is_the_module(subject: Subject) -> None:
    """`config.describe()` names the parameters of the built model, their shapes and roles, and no others."""
    check_description(subject.build(), subject.config.describe())


@torch.no_grad()
def shapes_are_as_said(subject: Subject) -> None:
    """`hidden` gives (batch, seq, dim) in the compute dtype, `logits` (..., vocab_size) in float32, in any precision."""
    model, config = built(subject), subject.config
    tokens = _tokens(config.vocab_size, 2, LENGTH)
    for precision, dtype in PRECISIONS.items():
        if precision == "fp16":
            continue  # sums of products that a CPU makes in float16 overflow where a GPU's do not
        set_precision(model, precision)
        hidden = model.hidden(tokens)
        assert hidden.shape == (2, LENGTH, config.dim), f"hidden states are {tuple(hidden.shape)}"
        assert hidden.dtype == dtype, f"hidden states are {hidden.dtype} in {precision}"
        logits = model.logits(hidden)
        assert logits.shape == (2, LENGTH, config.vocab_size), f"logits are {tuple(logits.shape)}"
        assert logits.dtype == torch.float32, f"logits are {logits.dtype} in {precision}"


@torch.no_grad()
def is_causal(subject: Subject) -> None:
    """Changing token t + 1 changes no logit at or before t, in training and while decoding."""
    model = built(subject)
    tokens = _tokens(model.vocab_size, 2, LENGTH)
    for training in (True, False):
        model.train(training)
        states = None if training else model.new_states(2)
        whole = model(tokens, states=states)
        for t in (0, 6, LENGTH - 2):
            changed = tokens.clone()
            changed[:, t + 1 :] = (changed[:, t + 1 :] + 1) % model.vocab_size
            found = model(changed, states=None if training else model.new_states(2))
            what = f"logits at 0..{t} after a change of what comes later ({'training' if training else 'decoding'})"
            expect_close(found[:, : t + 1], whole[:, : t + 1], what, tolerance=1e-5)
            moved = float((found[:, t + 1] - whole[:, t + 1]).abs().max())
            assert moved > 1e-6, f"the logits at position {t + 1} do not depend on its token"


@torch.no_grad()
def pieces_equal_the_whole(subject: Subject) -> None:
    """Decoding in pieces through `new_states`, one a layer, gives what reading the whole gives."""
    model = built(subject)
    tokens = _tokens(model.vocab_size, 2, LENGTH)
    whole = model(tokens)
    for sizes in ([1] * LENGTH, [9, 1, 1, LENGTH - 11]):
        states = model.new_states(2)
        found = torch.cat([model(piece, states=states) for piece in torch.split(tokens, sizes, dim=1)], dim=1)
        expect_close(found, whole, f"decoded in {len(sizes)} pieces")
        lengths = {state.length for state in states}
        assert lengths == {LENGTH}, f"after {LENGTH} tokens the states have lengths {sorted(lengths)}"


@torch.no_grad()
def documents_are_alone(subject: Subject) -> None:
    """Documents in one row give what each gives alone."""
    model = built(subject)
    tokens, cut = _tokens(model.vocab_size, 1, LENGTH), 8
    documents = Documents((torch.arange(LENGTH) >= cut).long()[None])
    found = model(tokens, documents=documents)
    expect_close(found[:, :cut], model(tokens[:, :cut]), "the first document of a row of two")
    expect_close(found[:, cut:], model(tokens[:, cut:]), "the second document of a row of two")


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every parameter receives a gradient."""
    model = built(subject).train()
    expect_gradients(model, model(_tokens(model.vocab_size, 4, LENGTH)))


def head_parameters_are_those_of_the_logits(subject: Subject) -> None:
    """`head_parameters` are the parameters that `logits` reads, all of them and no others."""
    model = built(subject)
    with torch.no_grad():
        hidden = model.hidden(_tokens(model.vocab_size, 1, 3))
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(
        model.logits(hidden.float()).square().sum(), list(named.values()), allow_unused=True
    )
    read = {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    said = {name for name, tensor in named.items() if any(tensor is each for each in model.head_parameters())}
    assert read == said, f"logits reads {sorted(read)}, head_parameters are {sorted(said)}"


@torch.no_grad()
def layers_can_be_wrapped(subject: Subject) -> None:
    """Each layer runs as `self.run_layer(layer, number, *inputs)` from 0 on, and running it again gives the same."""
    model = built(subject)
    tokens = _tokens(model.vocab_size, 2, LENGTH)
    expected, numbers = model(tokens), []

    def twice(layer: Callable[..., Any], number: int, *inputs: Any) -> Any:
        numbers.append(number)
        layer(number, *inputs)
        return layer(number, *inputs)

    model.run_layer = twice
    expect_close(
        model(tokens), expected, "with every layer run twice (activation checkpointing does so)", tolerance=1e-6
    )
    assert numbers == list(range(len(numbers))) and numbers, f"run_layer is called for the layers {numbers}"


def linear_maps_are_ours(subject: Subject) -> None:
    """Every linear map is a `model.linear.Linear`, so that quantizers find it."""
    found = [name for name, module in subject.build().named_modules() if isinstance(module, nn.Linear | nn.Embedding)]
    assert not found, f"{', '.join(found)}: torch's own modules, which no quantizer and no precision reaches"


def _tokens(vocab_size: int, batch: int, seq: int) -> Tensor:
    return torch.randint(vocab_size, (batch, seq), generator=torch.Generator().manual_seed(5))


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            the_description_is_the_module,
            shapes_are_as_said,
            is_causal,
            pieces_equal_the_whole,
            documents_are_alone,
            every_parameter_gets_a_gradient,
            head_parameters_are_those_of_the_logits,
            layers_can_be_wrapped,
            linear_maps_are_ours,
        ),
    )
)
