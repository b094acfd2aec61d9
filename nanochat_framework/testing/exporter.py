"""The laws of an exporter (`contracts.exporter`)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.inference.bundle import bundle_from, reader_of
from nanochat_framework.inference.comparison import compare
from nanochat_framework.model.description import Opaque
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.testing.bundles import bundles_of
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law


@dataclass(frozen=True)
class Exported:
    """A model that the exporter took, in a folder that has nothing else."""

    bundle: ModelBundle
    report: ExportReport
    folder: Path

    @property
    def name(self) -> str:
        """What it is made of."""
        return str(self.bundle.metadata["name"])


def built(subject: Subject) -> Exporter:
    """The exporter."""
    exporter: Exporter = subject.build()
    return exporter


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns an `Exporter`."""
    found = built(subject)
    assert isinstance(found, Exporter), f"the factory returns a {type(found).__name__}, which is no Exporter"


def refusals_are_usage_errors(subject: Subject) -> None:
    """What a format cannot carry is refused with a UsageError of one line, and leaves no file behind."""
    exporter, refused, written = built(subject), [], 0
    for _, members in bundles_of(subject.registry).families():
        bundle = next(members, None)
        if bundle is None:
            continue
        with TemporaryDirectory() as folder:
            try:
                exporter.export(bundle, _target(subject, folder))
                written += 1
            except UsageError as error:
                refused.append(str(error))
                left = [path.name for path in Path(folder).iterdir()]
                assert not left, f"{bundle.metadata['name']} is refused and leaves {left[0]} behind"
    several = [line for line in refused if "\n" in line.strip()]
    assert not several, f"a refusal has several lines: {several[0]!r}"


def reports_what_it_wrote(subject: Subject) -> None:
    """It carries some model; the report names the file (or folder), its size in bytes, and has lines for the person."""
    with _one(subject) as done:
        report = done.report
        assert isinstance(report, ExportReport), f"export returns a {type(report).__name__}"
        assert report.path.exists(), f"the report names {report.path.name}, which is not there"
        size = sum(file.stat().st_size for file in _files(report.path))
        assert report.n_bytes == size, f"the report says {report.n_bytes} bytes, on the disk are {size}"
        assert report.lines and all(line.strip() and "\n" not in line for line in report.lines), (
            f"its lines are {report.lines}"
        )
        others = {path.name for path in done.folder.iterdir()} - {report.path.name}
        assert not others, f"beside {report.path.name} there is {', '.join(sorted(others))}"


def reads_back_equal(subject: Subject) -> None:
    """A registered importer reads back what was written: codes, scales and floats bit for bit, or rounded as reported."""
    exporter = built(subject)
    for done in _exported(subject):
        try:
            again = _read_back(subject, done.report.path)
        except UsageError as error:
            raise AssertionError(f"{done.name} was written and cannot be read: {error}") from error
        found = compare(exporter.as_written(done.bundle), again, done.report.rounded)
        assert found.as_asked, f"{done.name} is another model when it is read back: {'; '.join(found.lines())}"


def what_is_not_described_is_refused(subject: Subject) -> None:
    """A part that does not describe itself is refused by a UsageError that names it, or the model is read back equal."""
    with _one(subject) as done:
        first, *others = done.bundle.description.blocks
        strange = replace(first, mixer=Opaque(component="attention vendor/unknown"))
        bundle = replace(done.bundle, description=replace(done.bundle.description, blocks=(strange, *others)))
        with TemporaryDirectory() as folder:
            try:
                report = built(subject).export(bundle, _target(subject, folder))
            except UsageError as error:
                assert "vendor/unknown" in str(error), (
                    f"the refusal does not name the part without a description: {error}"
                )
                return
            found = compare(done.bundle, _read_back(subject, report.path), report.rounded)
            assert found.as_asked, f"{done.name} with an undescribed part is written, and read back it is another model"


def files_are_replaced_whole(subject: Subject) -> None:
    """A file is written under another name and renamed: who reads the old one meanwhile goes on reading all of it."""
    with _one(subject) as done:
        files = _files(done.report.path)
        before = {file: file.read_bytes() for file in files}
        other = replace(done.bundle, tensors={name: _turned(t) for name, t in done.bundle.tensors.items()})
        with ExitStack() as stack:
            readers = {file: stack.enter_context(file.open("rb")) for file in files}
            try:
                built(subject).export(other, done.report.path)
            except UsageError as error:
                raise SkipTest(f"it does not write over what is there: {error}") from None
            for file, reader in readers.items():
                assert reader.read() == before[file], (
                    f"{file.name} is written over in place: its readers see half of each"
                )
        left = sorted(file.name for file in _files(done.folder) if file not in before)
        assert not left, f"a second export leaves {', '.join(left)} behind"


def a_failure_leaves_what_was_there(subject: Subject) -> None:
    """Where it fails in the middle, the old file is as it was, and nothing else is left in its folder."""
    with _one(subject) as done:
        before = {file: file.read_bytes() for file in _files(done.folder)}
        for count in (1, len(done.bundle.tensors) // 2, len(done.bundle.tensors) - 1):
            with suppress(_Broken, NanochatError):
                built(subject).export(
                    replace(done.bundle, tensors=_Breaking(done.bundle.tensors, count)), done.report.path
                )
            after = {file: file.read_bytes() for file in _files(done.folder)}
            changed = sorted(file.name for file in before.keys() | after.keys() if before.get(file) != after.get(file))
            assert not changed, f"after a failure at tensor {count} these are not as before: {', '.join(changed)}"


def the_model_is_left_alone(subject: Subject) -> None:
    """Exporting changes no tensor of the model."""
    with _one(subject) as done:
        kept = {name: _values(tensor).clone() for name, tensor in done.bundle.tensors.items()}
        with TemporaryDirectory() as folder:
            built(subject).export(done.bundle, _target(subject, folder))
        for name, tensor in done.bundle.tensors.items():
            assert torch.equal(_values(tensor), kept[name]), f"export changes {name} of the model in place"


def _exported(subject: Subject) -> Generator[Exported, None, None]:
    """Of the models with each registered part and quantizer the first that the exporter takes, written."""
    exporter = built(subject)
    taken, refused = 0, ""
    for _, members in bundles_of(subject.registry).families():
        for bundle in members:
            with TemporaryDirectory() as folder:
                try:
                    report = exporter.export(bundle, _target(subject, folder))
                except UsageError as error:
                    refused = str(error)
                    continue
                taken += 1
                yield Exported(bundle, report, Path(folder))
                break
    assert taken, f"it takes none of the models that can be made of the registered parts: {refused}"


@contextmanager
def _one(subject: Subject) -> Iterator[Exported]:
    """The first of them, while its folder is there."""
    exported = _exported(subject)
    try:
        yield next(exported)
    finally:
        exported.close()


def _read_back(subject: Subject, path: Path) -> ModelBundle:
    """What a registered importer makes of it. Raises SkipTest if there is none for it, UsageError if it fails."""
    importers = subject.registry.components("importer")
    suffixes = {suffix for each in importers for suffix in each.traits["suffixes"]}
    markers = {marker for each in importers for marker in each.traits["markers"]}
    if path.suffix not in suffixes and not any((path / marker).is_file() for marker in markers):
        raise SkipTest(f"no registered importer reads {path.name}")
    return bundle_from(path, subject.registry)


def _target(subject: Subject, folder: str) -> Path:
    """A name with the suffix that the importer of this name reads, if there is one."""
    reader = reader_of(subject.component.name, subject.registry)
    suffixes = reader.traits["suffixes"] if reader else ()
    return Path(folder) / f"model{suffixes[0] if suffixes else ''}"


def _files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder, temporary ones too."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _values(tensor: Tensor | QuantizedWeight) -> Tensor:
    return tensor.dequantize() if isinstance(tensor, QuantizedWeight) else tensor


def _turned(tensor: Tensor | QuantizedWeight) -> Tensor | QuantizedWeight:
    """Another tensor of the same form."""
    if isinstance(tensor, QuantizedWeight):
        return QuantizedWeight(tensor.codes.flip(0), tensor.scales.flip(0), tensor.group_size)
    return -tensor


class _Broken(RuntimeError):
    """What the tensors below raise."""


class _Breaking(Mapping[str, Any]):
    """Tensors that can be read so many times, then no more."""

    def __init__(self, tensors: Mapping[str, Any], count: int) -> None:
        self._tensors, self._left = tensors, count

    def __getitem__(self, name: str) -> Any:
        if self._left <= 0:
            raise _Broken(f"{name} cannot be read")
        self._left -= 1
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            refusals_are_usage_errors,
            reports_what_it_wrote,
            reads_back_equal,
            what_is_not_described_is_refused,
            files_are_replaced_whole,
            a_failure_leaves_what_was_there,
            the_model_is_left_alone,
        ),
    )
)
