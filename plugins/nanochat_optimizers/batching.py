"""How much is updated together; torch-free, because the memory plan asks as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import TypeVar

Item = TypeVar("Item")
Shape = tuple[int, ...]

MAX_TOGETHER = 2**26
"""Weights that share one temporary: more would only cost memory (2²⁶ are 256 MiB of float32)."""


def batches(items: Iterable[Item], shape_of: Callable[[Item], Shape]) -> Iterator[list[Item]]:
    """Consecutive items with at most MAX_TOGETHER weights between them; a larger one is by itself."""
    batch: list[Item] = []
    total = 0
    for item in items:
        size = prod(shape_of(item))
        if batch and total + size > MAX_TOGETHER:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def stacks(items: Iterable[Item], shape_of: Callable[[Item], Shape]) -> Iterator[list[Item]]:
    """Batches of items whose matrices (the last two dimensions) have one shape."""
    alike: dict[Shape, list[Item]] = {}
    for item in items:
        alike.setdefault(shape_of(item)[-2:], []).append(item)
    for group in alike.values():
        yield from batches(group, shape_of)


def itself(shape: Shape) -> Shape:
    """The shape of a shape, for batches of shapes."""
    return shape


def weights_in(shapes: Iterable[Shape]) -> int:
    """How many weights shapes hold."""
    return sum(prod(shape) for shape in shapes)
