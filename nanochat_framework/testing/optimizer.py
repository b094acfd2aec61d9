"""The laws of an update rule (`contracts.optimizer`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nanochat_framework.contracts.optimizer import NamedParameter, Optimizer, OptimizerState
from nanochat_framework.model import roles
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law
from nanochat_framework.testing.tensors import expect_close, normal
from nanochat_framework.training.optimizer_groups import scheduled_values

SHAPES = {"blocks.0.up.weight": (24, 8), "blocks.1.up.weight": (24, 8), "blocks.0.down.weight": (8, 24)}
"""Matrices, for some rules take nothing else: two of a shape, which may be worked on together, and a turned one."""


def fresh(values: Mapping[str, Tensor] | None = None) -> list[NamedParameter]:
    """Parameters that start from copies of the values."""
    if values is None:
        values = {name: normal(*shape, seed=number) for number, (name, shape) in enumerate(SHAPES.items())}
    return [NamedParameter(name, roles.MATRIX, nn.Parameter(value.clone())) for name, value in values.items()]


def built(subject: Subject, parameters: Sequence[NamedParameter]) -> Optimizer:
    """The optimizer of some parameters."""
    optimizer: Optimizer = subject.build(parameters=parameters)
    return optimizer


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns an `Optimizer` that keeps its `parameters`."""
    parameters = fresh()
    optimizer = built(subject, parameters)
    assert isinstance(optimizer, Optimizer), f"the factory returns a {type(optimizer).__name__}, which is no Optimizer"
    assert [p.name for p in optimizer.parameters] == list(SHAPES), "its `parameters` are not those it was given"


def lowers_a_quadratic(subject: Subject) -> None:
    """Sixty steps with its own settings bring weights nearer to the minimum of a quadratic."""
    parameters = fresh()
    optimizer, values = built(subject, parameters), scheduled_values(subject.config)
    targets = {name: normal(*shape, seed=50 + number) for number, (name, shape) in enumerate(SHAPES.items())}
    before = _distance(parameters, targets)
    for _ in range(60):
        for parameter in parameters:
            parameter.tensor.grad = parameter.tensor.detach() - targets[parameter.name]
        optimizer.step(values)
    after = _distance(parameters, targets)
    for name in SHAPES:
        assert after[name] < before[name], (
            f"the distance of {name} to the minimum went from {before[name]:.4g} to {after[name]:.4g}"
        )


def resumes_in_the_middle(subject: Subject) -> None:
    """State that went through a file continues a training to the last bit, with hyperparameters that follow a schedule."""
    straight = fresh()
    _train(subject, built(subject, straight), range(1, 9))
    before = fresh()
    first = built(subject, before)
    _train(subject, first, range(1, 5))
    state = _through_a_file(first.state())
    after = fresh(_values(before))
    second = built(subject, after)
    second.load_state(state)
    _train(subject, second, range(5, 9))
    for name, value in _values(straight).items():
        difference = float((_values(after)[name] - value).abs().max())
        assert difference == 0.0, f"{name} differs by {difference:.3g} from a training that was not interrupted"


def state_belongs_to_names(subject: Subject) -> None:
    """`state` is addressed by parameter name: it can be loaded in another order and into other groups of parameters."""
    parameters = fresh()
    whole = built(subject, parameters)
    _train(subject, whole, range(1, 4))
    state = {name: {slot: t.clone() for slot, t in slots.items()} for name, slots in whole.state().items()}
    unknown = sorted(set(state) - set(SHAPES))
    assert not unknown, f"the state has {unknown}, which are no names of its parameters"
    values = _values(parameters)
    _train(subject, whole, range(4, 7))
    turned = fresh(dict(reversed(values.items())))
    for group in ([turned], [turned[:1], turned[1:]]):
        for members in group:
            optimizer = built(subject, members)
            optimizer.load_state({p.name: state[p.name] for p in members if p.name in state})
            for name, slots in optimizer.state().items():
                for slot, tensor in slots.items():
                    assert torch.equal(tensor, state[name][slot]), f"{name}/{slot} is not what was loaded"
    optimizer = built(subject, turned)
    optimizer.load_state(state)
    _train(subject, optimizer, range(4, 7))
    for name, value in _values(parameters).items():
        update, expected = _values(turned)[name] - values[name], value - values[name]
        expect_close(update, expected, f"three steps of {name} in another order of the parameters", tolerance=1e-2)


def parameters_that_a_state_lacks_start_fresh(subject: Subject) -> None:
    """A state without some of its parameters loads: those begin anew, whatever they had before."""
    lost, kept, _ = SHAPES
    parameters = fresh()
    optimizer = built(subject, parameters)
    _train(subject, optimizer, range(1, 4))
    state = {kept: {slot: t.clone() for slot, t in optimizer.state().get(kept, {}).items()}}
    optimizer.load_state(state)
    values = _values(parameters)
    _train(subject, optimizer, range(4, 6))
    anew = fresh(values)
    other = built(subject, anew)
    other.load_state(state)
    _train(subject, other, range(4, 6))
    same = torch.equal(_values(parameters)[lost], _values(anew)[lost])
    assert same, f"{lost}, which the loaded state does not have, goes on from what it had before"


def a_state_that_does_not_fit_is_refused(subject: Subject) -> None:
    """`load_state` raises ValueError for a tensor of the wrong shape."""
    optimizer = built(subject, fresh())
    _train(subject, optimizer, range(1, 3))
    state = {name: dict(slots) for name, slots in optimizer.state().items()}
    for name, slots in state.items():
        for slot in slots:
            try:
                optimizer.load_state({**state, name: {**slots, slot: torch.zeros(3, 5, 7)}})
            except ValueError:
                continue
            raise AssertionError(f"load_state takes a tensor (3, 5, 7) for {name}/{slot} and raises no ValueError")


def without_a_gradient_nothing_moves(subject: Subject) -> None:
    """A parameter whose `.grad` is None is left alone; the others take their step."""
    parameters = fresh()
    optimizer = built(subject, parameters)
    _train(subject, optimizer, range(1, 3))
    before = _values(parameters)
    still, *others = parameters
    for parameter in others:
        parameter.tensor.grad = normal(*parameter.tensor.shape, seed=3)
    still.tensor.grad = None
    optimizer.step(scheduled_values(subject.config))
    assert torch.equal(still.tensor.detach(), before[still.name]), f"{still.name} moved without a gradient"
    for parameter in others:
        assert not torch.equal(parameter.tensor.detach(), before[parameter.name]), f"{parameter.name} did not move"


def hyperparameters_are_those_of_the_step(subject: Subject) -> None:
    """Each field declared with `scheduled` is read from what `step` is given, not from the configuration."""
    values = scheduled_values(subject.config)
    assert values, (
        "no field is declared with config.component.scheduled; a learning rate that no schedule reaches is none"
    )
    for name, value in values.items():
        other = {**values, name: 0.5 * value if value else 0.3}
        outcomes = []
        for given in (values, other):
            parameters = fresh()
            optimizer = built(subject, parameters)
            _train(subject, optimizer, range(1, 4), given)
            outcomes.append(_values(parameters))
        assert any(not torch.equal(outcomes[0][key], outcomes[1][key]) for key in SHAPES), (
            f"steps with {name} = {value} and with {other[name]} do the same"
        )


def weights_stay_leaves(subject: Subject) -> None:
    """A step changes the weights in place, without autograd, and leaves the gradients' owners trainable."""
    parameters = fresh()
    optimizer = built(subject, parameters)
    tensors = [p.tensor for p in parameters]
    _train(subject, optimizer, range(1, 3))
    for parameter, tensor in zip(optimizer.parameters, tensors, strict=True):
        assert parameter.tensor is tensor, f"{parameter.name} is another tensor after a step"
        assert tensor.is_leaf and tensor.requires_grad, f"{parameter.name} is no trainable leaf after a step"
        assert bool(tensor.isfinite().all()), f"{parameter.name} is not finite after two steps"


def _train(
    subject: Subject, optimizer: Optimizer, steps: Iterable[int], values: Mapping[str, float] | None = None
) -> None:
    """Steps with random gradients, each step's the same whenever it is taken, and a rate that falls as 1 / step."""
    values = scheduled_values(subject.config) if values is None else values
    for step in steps:
        for parameter in optimizer.parameters:
            number = list(SHAPES).index(parameter.name)
            parameter.tensor.grad = normal(*parameter.tensor.shape, seed=1000 * step + number)
        optimizer.step({name: value / step if name == "lr" else value for name, value in values.items()})


def _values(parameters: Sequence[NamedParameter]) -> dict[str, Tensor]:
    return {p.name: p.tensor.detach().clone() for p in parameters}


def _distance(parameters: Sequence[NamedParameter], targets: Mapping[str, Tensor]) -> dict[str, float]:
    return {p.name: float((p.tensor.detach() - targets[p.name]).norm()) for p in parameters}


def _through_a_file(state: OptimizerState) -> OptimizerState:
    """As a checkpoint does it: `parameter name/slot` -> tensor, in safetensors."""
    loaded: OptimizerState = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        flat = {f"{name}/{slot}": t.contiguous() for name, slots in state.items() for slot, t in slots.items()}
        save_file(flat, path)
        for key, tensor in load_file(path).items():
            name, _, slot = key.rpartition("/")
            loaded.setdefault(name, {})[slot] = tensor
    return loaded


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            lowers_a_quadratic,
            resumes_in_the_middle,
            state_belongs_to_names,
            parameters_that_a_state_lacks_start_fresh,
            a_state_that_does_not_fit_is_refused,
            without_a_gradient_nothing_moves,
            hyperparameters_are_those_of_the_step,
            weights_stay_leaves,
        ),
    )
)
