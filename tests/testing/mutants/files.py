"""Broken exporters, importers and sources."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nanochat_exporters.safetensors_file import SafetensorsExporter, SafetensorsImporter
from nanochat_framework.contracts.exporter import ExportReport, ModelBundle
from nanochat_framework.contracts.source import Document, DocumentSource, TokenSource
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins.registry import Registry
from nanochat_sources import example as sources
from nanochat_sources.synthetic import SyntheticTokens
from tests.testing.mutants.configs import Folder, Nothing
from tests.testing.mutants.record import mutant

SUFFIX = ".safetensors"


class Exporter(SafetensorsExporter):
    """Ours, under a name that its importer reads."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        return super().export(bundle, path.with_suffix(SUFFIX))


@mutant("exporter", "reads_back_equal")
class ShiftsAScale(Exporter):
    """Gives every scale to the group after it."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        tensors = dict(bundle.tensors)
        for name, tensor in bundle.tensors.items():
            if isinstance(tensor, QuantizedWeight):
                tensors[name] = QuantizedWeight(tensor.codes, tensor.scales.roll(1, 0), tensor.group_size)
        return super().export(replace(bundle, tensors=tensors), path)


@mutant("exporter", "files_are_replaced_whole")
class WritesInPlace(Exporter):
    """Opens the file itself."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        beside = super().export(bundle, path.with_name("beside"))
        path = path.with_suffix(SUFFIX)
        path.write_bytes(beside.path.read_bytes())
        beside.path.unlink()
        return replace(beside, path=path)


@mutant("exporter", "a_failure_leaves_what_was_there")
class LeavesHalf(Exporter):
    """Has written something before it knows whether it can."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        half = path.with_name("half")
        half.write_bytes(b"half")
        report = super().export(bundle, path)
        half.unlink()
        return report


@mutant("exporter", "refusals_are_usage_errors")
class RefusesWithAnother(Exporter):
    """Refuses a model of experts in its own way."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        if any("experts" in name for name in bundle.tensors):
            raise NotImplementedError("no experts yet")
        return super().export(bundle, path)


@mutant("exporter", "what_is_not_described_is_refused")
class RefusesWithoutAName(Exporter):
    """Does not say which part it cannot carry."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        if bundle.description.opaque():
            raise UsageError("this model cannot be carried")
        return super().export(bundle, path)


@mutant("exporter", "reports_what_it_wrote")
class CountsWrong(Exporter):
    """Reports a size that is none."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        return replace(super().export(bundle, path), n_bytes=0)


@mutant("exporter", "the_model_is_left_alone")
class ScalesTheModel(Exporter):
    """Makes the numbers fit, in the model itself."""

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        for tensor in bundle.tensors.values():
            if not isinstance(tensor, QuantizedWeight):
                tensor.mul_(0.5)
        return super().export(bundle, path)


@mutant("importer", "what_is_no_model_is_refused", suffixes=(".broken",), markers=())
class ShowsItsInsides(SafetensorsImporter):
    """Lets the library's errors through."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def load(self, path: Path, registry: Registry) -> ModelBundle:
        path.read_bytes()[0]
        return super().load(path, registry)


@mutant("importer", "the_factory_builds_the_contract", suffixes=(), markers=())
class IsNeverChosen(ShowsItsInsides):
    """Names neither a suffix nor a file."""


class Five(DocumentSource):
    """Five documents."""

    def __init__(self, config: Nothing) -> None:
        super().__init__()

    def documents(self) -> Iterator[Document]:
        for number in range(5):
            yield Document(f"text {number}", "texts", b"a text " * (number + 1))


@mutant("source", "documents_come_again", yields="documents")
class ReadsOnce(Five):
    """Is empty the second time."""

    def __init__(self, config: Nothing) -> None:
        self._left = super().documents()

    def documents(self) -> Iterator[Document]:
        return self._left


@mutant("source", "documents_come_again", yields="documents")
class Shuffles(Five):
    """Another order each time."""

    def documents(self) -> Iterator[Document]:
        found = list(super().documents())
        random.SystemRandom().shuffle(found)
        yield from found * 3


@mutant("source", "documents_are_complete", yields="documents")
class NamesNothing(Five):
    """Documents of no group, which the split holds out by."""

    def documents(self) -> Iterator[Document]:
        return (replace(document, group="") for document in super().documents())


FOLDER = {"config": "tests.testing.mutants.configs:Folder", "example": "tests.testing.mutants.files:text_files"}


def text_files(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Ours, for a configuration of one path."""
    return {"path": str(*sources.text_files(folder, texts)["paths"])}


class Files(DocumentSource):
    """The files of a folder."""

    def __init__(self, config: Folder) -> None:
        self.folder = Path(config.path)

    def documents(self) -> Iterator[Document]:
        for path in sorted(self.folder.iterdir()):
            yield Document(path.name, "texts", path.read_bytes())


@mutant("source", "documents_are_what_its_files_hold", yields="documents", **FOLDER)
class Strips(Files):
    """Tidies texts up."""

    def documents(self) -> Iterator[Document]:
        return (replace(document, data=document.data[:].strip()) for document in super().documents())


@mutant("source", "documents_are_what_its_files_hold", yields="documents", **FOLDER)
class Backwards(Files):
    """Has an order of its own."""

    def documents(self) -> Iterator[Document]:
        return iter([*super().documents()][::-1])


@mutant("source", "documents_are_what_its_files_hold", yields="documents", **FOLDER)
class RefusesTabs(Files):
    """Does not read what its own example holds."""

    def documents(self) -> Iterator[Document]:
        for document in super().documents():
            if b"\t" in document.data[:]:
                raise UsageError(f"{document.name}: has a tab")
            yield document


@mutant("source", "files_that_are_gone_are_refused", yields="documents", **FOLDER)
class FindsNothing(Files):
    """Takes a folder that is not there for an empty one."""

    def documents(self) -> Iterator[Document]:
        return super().documents() if self.folder.is_dir() else iter(())


class Ids(TokenSource):
    """Ids of all documents."""

    def __init__(self, config: Folder, *, vocab_size: int) -> None:
        self.store = TokenStore.open(config.path, vocab_size=vocab_size)

    def train(self) -> np.ndarray:
        return self.store.tokens

    def validation(self) -> np.ndarray | None:
        return None


def ids(folder: Path, documents: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Ours."""
    return sources.token_files(folder, documents)


@mutant("source", "tokens_are_what_its_files_hold", yields="tokens", **{**FOLDER, "example": f"{__name__}:ids"})
class LeavesTheLastOut(Ids):
    """Ends too early."""

    def train(self) -> np.ndarray:
        return super().train()[:-1]


@mutant("source", "tokens_are_what_its_files_hold", yields="tokens", **{**FOLDER, "example": f"{__name__}:ids"})
class StartsOneLate(Ids):
    """Counts documents from one."""

    def train_starts(self) -> np.ndarray | None:
        starts = self.store.starts
        return None if starts is None else np.concatenate([starts[:1], starts[1:] + 1])


SYNTHETIC = "nanochat_sources.config:SyntheticConfig"


@mutant("source", "a_vocabulary_that_is_too_small_is_refused", SYNTHETIC, yields="tokens")
class IgnoresTheVocabulary(SyntheticTokens):
    """Always has 97 tokens."""

    def __init__(self, config: Any, *, vocab_size: int) -> None:
        super().__init__(config, vocab_size=97)


@mutant("source", "tokens_come_again", SYNTHETIC, yields="tokens")
class DrawsAgain(SyntheticTokens):
    """Other tokens at each call."""

    def train(self) -> np.ndarray:
        return np.random.default_rng().permutation(super().train())


@mutant("source", "starts_and_scores_fit", SYNTHETIC, yields="tokens")
class StartsBeyond(SyntheticTokens):
    """Documents that start after the last token."""

    def train_starts(self) -> np.ndarray:
        return super().train_starts() + 10 * len(self.train())


@mutant("source", "tokens_are_ids", SYNTHETIC, yields="tokens")
class SignedIds(SyntheticTokens):
    """Ids that may be negative."""

    def train(self) -> np.ndarray:
        return super().train().astype(np.int64) - 1
