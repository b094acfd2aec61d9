"""What the optimizers' configurations tell the memory plan is what a step takes."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nanochat_optimizers import batching
from tests.optimizers.support import REGISTRY, build, named, random_tensors, train

SHAPES = {"q": (256, 256), "k": (256, 256), "up": (512, 256), "gate": (512, 256), "experts": (2, 256, 128)}


class TemporaryMemory(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts bytes of tensors other than the given ones: `peak` is the most that lived at one time in the `with`."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.peak = 0
        self._given = {_address(tensor) for tensor in given}
        self._made: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._made += [weakref.ref(leaf) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        alive = [tensor for tensor in (reference() for reference in self._made) if tensor is not None]
        sizes = {_address(tensor): tensor.untyped_storage().nbytes() for tensor in alive}
        self.peak = max(self.peak, sum(size for address, size in sizes.items() if address not in self._given))
        return result


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(1, 200))
def test_batches_keep_to_the_limit_and_to_the_order(shapes: list[tuple[int, int]], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "MAX_TOGETHER", limit)
        batches = list(batching.batches(shapes, batching.itself))
        stacks = list(batching.stacks(shapes, batching.itself))
    assert [shape for batch in batches for shape in batch] == shapes
    assert all(len(batch) == 1 or batching.weights_in(batch) <= limit for batch in [*batches, *stacks])
    assert all(batching.weights_in([*batch, following[0]]) > limit for batch, following in pairwise(batches))
    assert all(len(set(stack)) == 1 for stack in stacks)
    assert sorted(shape for stack in stacks for shape in stack) == sorted(shapes)


@pytest.mark.parametrize("together", [2**26, 300_000])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adamw", {}),
        ("lion", {}),
        ("muon", {"orthogonalize_in": "fp32"}),
        ("muon", {"orthogonalize_in": "bf16"}),
        ("muon", {"orthogonalize_in": "fp32", "neuron_beta2": 0.95, "cautious_decay": True}),
        ("muon_8bit", {"orthogonalize_in": "bf16", "neuron_beta2": 0.95, "cautious_decay": True}),
        ("lion_8bit", {}),
        ("muon_8bit", {"orthogonalize_in": "fp32"}),
        ("muon_8bit", {"orthogonalize_in": "bf16"}),
    ],
)
def test_state_and_workspace(
    name: str, options: dict[str, Any], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_TOGETHER", together)
    parameters = named(random_tensors(SHAPES, seed=0))
    optimizer, hyperparameters = build(name, parameters, weight_decay=0.1, **options)
    train(optimizer, hyperparameters, range(1, 2))
    state = [tensor for slots in optimizer.state().values() for tensor in slots.values()]
    gradients = [p.tensor.grad for p in parameters if p.tensor.grad is not None]
    with TemporaryMemory([*state, *gradients, *(p.tensor for p in parameters)]) as measured:
        optimizer.step(hyperparameters)

    config = REGISTRY.get("optimizer", name).config_class()(**options)
    assert measured.peak == pytest.approx(config.workspace_bytes(list(SHAPES.values())), rel=0.01)
    weights = sum(p.tensor.numel() for p in parameters)
    by_shape = getattr(config, "state_bytes", None)
    stated = config.state_bytes_per_parameter * weights if by_shape is None else by_shape(list(SHAPES.values()))
    assert sum(t.nbytes for t in state) == pytest.approx(stated, rel=0.001)
