"""The laws of an evaluation (`contracts.evaluation`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import torch

from nanochat_framework.contracts.evaluation import Evaluation, Score
from nanochat_framework.contracts.evaluation import Subject as Evaluated
from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.prepare import PrepareSettings, prepare
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.toy_model import toy_model


def built(subject: Subject) -> Evaluation:
    """The evaluation."""
    evaluation: Evaluation = subject.build()
    return evaluation


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns an `Evaluation`."""
    found = built(subject)
    assert isinstance(found, Evaluation), f"the factory returns a {type(found).__name__}, which is no Evaluation"


def scores_are_finite_and_have_units(subject: Subject) -> None:
    """`run` gives at least one `Score`, each with a finite value and a unit; standard errors are not negative."""
    with _evaluated() as evaluated:
        scores = _run(built(subject), evaluated)
    assert scores, "it gives no score"
    for name, score in scores.items():
        assert isinstance(score, Score), f"{name} is a {type(score).__name__}, no Score"
        assert math.isfinite(score.value), f"{name} is {score.value}"
        assert score.unit.strip(), f"{name} has no unit"
        error = score.standard_error
        assert error is None or (math.isfinite(error) and error >= 0), f"the standard error of {name} is {error}"
        odd = [key for key, value in score.baselines.items() if not math.isfinite(value)]
        assert not odd, f"the baseline {odd[0]} of {name} is not finite" if odd else ""


def scores_come_again(subject: Subject) -> None:
    """The same model on the same data has the same scores, whatever random numbers were drawn before."""
    with _evaluated() as evaluated:
        first = _run(built(subject), evaluated)
        torch.manual_seed(12345)
        second = _run(built(subject), evaluated)
    for name, score in first.items():
        again = second.get(name)
        assert again is not None and again.value == score.value, (
            f"{name} is {score.value}, and then {again and again.value}"
        )


def the_model_is_left_alone(subject: Subject) -> None:
    """Evaluating changes nothing of the model: no weight, no gradient, no mode, no random number of the training."""
    with _evaluated() as evaluated:
        model = evaluated.model
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        trainable = [p.requires_grad for p in model.parameters()]
        torch.manual_seed(3)
        random = torch.get_rng_state()
        _run(built(subject), evaluated)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), f"it changes {name} of the model"
        assert [p.requires_grad for p in model.parameters()] == trainable, (
            "it switches gradients of the model on or off"
        )
        assert all(p.grad is None for p in model.parameters()), "it leaves gradients in the model"
        assert not any(module.training for module in model.modules()), "it leaves the model in training mode"
        assert torch.equal(torch.get_rng_state(), random), (
            "it draws from torch's random numbers, which training draws from"
        )


def what_it_lacks_is_a_usage_error(subject: Subject) -> None:
    """A model without a tokenizer, or without data, is evaluated or refused with a UsageError."""
    with _evaluated() as whole:
        for lacking in (Evaluated(whole.model, None, whole.data), Evaluated(whole.model, whole.tokenizer, None)):
            try:
                built(subject).run(lacking)
            except UsageError as error:
                assert "\n" not in str(error).strip(), f"the refusal has several lines: {error}"


def _run(evaluation: Evaluation, evaluated: Evaluated) -> Mapping[str, Score]:
    try:
        return evaluation.run(evaluated)
    except UsageError as error:
        raise SkipTest(f"it needs more than the suite has: {error}") from None


class _Texts(DocumentSource):
    """A few short texts."""

    def documents(self) -> Iterator[Document]:
        """Twelve."""
        for number in range(12):
            text = f"Document {number}: the fox went out on a chilly night, {'and again, ' * number}and came home.\n"
            yield Document(f"text {number}", f"group {number}", text.encode())


class _Silent:
    """Progress that nobody watches."""

    def advance(self, amount: float) -> None:
        """Nothing."""


@contextmanager
def _evaluated() -> Iterator[Evaluated]:
    """A toy model in evaluation mode, with the tokenizer and the folder of data that it could have been trained on."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        settings = PrepareSettings(path, vocab_size=300, validation_fraction=0.3, seed=0, threads=1)
        with redirect_stderr(StringIO()):
            prepare(_Texts(), settings, lambda label, total: nullcontext(_Silent()))
        tokenizer = Tokenizer.load(path / "tokenizer.json")
        model: Any = toy_model(tokenizer.vocab_size).eval()
        yield Evaluated(model, tokenizer, path)


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            scores_are_finite_and_have_units,
            scores_come_again,
            the_model_is_left_alone,
            what_it_lacks_is_a_usage_error,
        ),
    )
)
