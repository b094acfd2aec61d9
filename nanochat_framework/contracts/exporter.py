"""Contracts of exporters and importers: they see a model as a description with tensors, never as somebody's class.

::

    class Names(Exporter):
        def __init__(self, config: NoSettings) -> None:
            pass

        def export(self, bundle, path):
            if bundle.description.opaque():
                raise UsageError(f"{bundle.description.opaque()[0].component} does not describe itself")
            with new_file(path) as file:
                file.write_text("".join(f"{name} {tuple(tensor.shape)}\\n" for name, tensor in bundle.tensors.items()))
            return ExportReport(path, path.stat().st_size, (f"{len(bundle.tensors)} names",))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nanochat_framework.config.rules import QuantizerRule
from nanochat_framework.config.selection import Selected
from nanochat_framework.data.progress import ProgressFactory, unseen
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.model.description import ModelDescription
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins.registry import Registry


@dataclass(frozen=True)
class ModelBundle:
    """A trained model as data: what exporters write and importers read.

    `tensors` has, for every tensor of the description, float32 values or, where training quantised it, the codes and
    scales that training used. `metadata` holds plain facts (name, step, tokens, license, ...).
    """

    model: Selected[Any]
    quantizers: tuple[QuantizerRule, ...]
    description: ModelDescription
    tensors: Mapping[str, Tensor | QuantizedWeight]
    tokenizer: Tokenizer | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rounding:
    """What a format does to a float tensor because somebody asked for it.

    The type's name, the values that `apply` leaves of the tensor's, and the bytes that it then takes.
    """

    type_name: str
    apply: Callable[[Tensor], Tensor]
    n_bytes: int


@dataclass(frozen=True)
class ExportReport:
    """What was written: the file, its size in bytes, and lines for the person (format, storage types, what differs).

    `rounded` has the tensors that were to be rounded, by parameter name; all others must read back bit for bit.
    """

    path: Path
    n_bytes: int
    lines: tuple[str, ...]
    rounded: Mapping[str, Rounding] = field(default_factory=dict)


class Exporter(ABC):
    """Writes a model in one format. Factory: `build(config)`; settings come from `nanochat export --option NAME=VALUE`.

    It matches on the operations of `bundle.description` (`model.description`) and refuses what it does not know. `export` is
    called once, then, with `--check`, which needs an importer of the same name, `as_written` and `check`.
    """

    progress: ProgressFactory = staticmethod(unseen)
    """Where `export` tells how far it is: `with self.progress("storing", n_bytes) as bar: bar.advance(...)`."""

    @abstractmethod
    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write to a temporary name in the same folder and rename (`runs.atomic.new_file`); `path` may be there already.

        Raises UsageError in one line, naming the component, for what the format cannot carry, and leaves no file then.
        """

    def as_written(self, bundle: ModelBundle) -> ModelBundle:
        """The model that the file stands for: `bundle` itself, unless the format rounds or leaves out part of it."""
        return bundle

    def check(self, read_back: ModelBundle, path: Path) -> tuple[str, ...]:
        """Hold what other programs make of the file against what our reader does; lines for the person.

        Raises NanochatError where one of them disagrees.
        """
        return ()


class Importer(ABC):
    """Reads a model from one format. Factory: `build(config)`."""

    @abstractmethod
    def load(self, path: Path, registry: Registry) -> ModelBundle:
        """Read a file, or a folder that has one of its marker files.

        Raises UsageError, with the path and the reason, for one that is not what it should be.
        """
