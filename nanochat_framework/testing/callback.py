"""The laws of a callback (`contracts.callback`)."""

from __future__ import annotations

import inspect
import json

from nanochat_framework.contracts.callback import Callback
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law

HOOKS = tuple(name for name in vars(Callback) if name.startswith(("on_", "before_", "after_")))


def built(subject: Subject) -> Callback:
    """The callback."""
    callback: Callback = subject.build()
    return callback


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns a `Callback`, a new one at each call, with a whole number as its `priority`."""
    found = built(subject)
    assert isinstance(found, Callback), f"the factory returns a {type(found).__name__}, which is no Callback"
    assert built(subject) is not found, "the factory returns the same object twice; two runs would share it"
    assert isinstance(found.priority, int), f"its priority is {found.priority!r}"


def hooks_are_those_of_the_contract(subject: Subject) -> None:
    """Each method is one that the trainer calls, and takes what it is called with; another name is never called."""
    callback = built(subject)
    for name, _ in inspect.getmembers(type(callback), inspect.isfunction):
        if name.startswith(("on_", "before_", "after_")):
            assert name in HOOKS, f"nobody calls {name}; the trainer calls {', '.join(HOOKS)}"
    for name in HOOKS:
        expected = len(inspect.signature(getattr(Callback, name)).parameters) - 1
        try:
            inspect.signature(getattr(callback, name)).bind(*range(expected))
        except TypeError as error:
            raise AssertionError(f"{name} is called with {expected} arguments: {error}") from None


def state_survives_a_checkpoint(subject: Subject) -> None:
    """`state` is plain JSON data; `load_state` on a new one takes it back."""
    state = built(subject).state()
    try:
        written = json.loads(json.dumps(state, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"its state is no plain JSON data: {error}") from None
    other = built(subject)
    other.load_state(written)
    assert json.loads(json.dumps(other.state())) == written, (
        f"after load_state its state is {other.state()}, not {written}"
    )


def it_goes_through_a_training(subject: Subject) -> None:
    """In a real training of a few steps, with evaluations and checkpoints, nothing that it does raises."""
    from nanochat_framework.testing.small_run import trained

    built(subject)  # where a package is missing, this law says nothing
    table = {"name": subject.component.name, **subject.settings}
    failed = [event for event in trained(subject.registry, callback=[table]) if event["kind"] == "callback_error"]
    assert not failed, f"{failed[0]['hook']} raises {failed[0]['error']}"


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            hooks_are_those_of_the_contract,
            state_survives_a_checkpoint,
            it_goes_through_a_training,
        ),
    )
)
