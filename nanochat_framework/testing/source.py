"""The laws of a source of documents or of tokens (`contracts.source`)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import numpy as np

from nanochat_framework.contracts.source import Document, DocumentSource, TokenSource
from nanochat_framework.errors import UsageError
from nanochat_framework.testing.example_files import Content, has_example, written
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law

VOCAB_SIZE = 1 << 18
"""Rows of the model that tokens are for here."""
ENOUGH = 200
"""Documents that are looked at: a source may have millions."""


def _is_of_documents(subject: Subject) -> bool:
    return str(subject.component.traits["yields"]) == "documents"


def documents(subject: Subject) -> DocumentSource:
    """A source of documents. Raises SkipTest if this is one of tokens."""
    if not _is_of_documents(subject):
        raise SkipTest("it yields tokens")
    source: DocumentSource = subject.build()
    return source


def tokens(subject: Subject) -> TokenSource:
    """A source of tokens. Raises SkipTest if this is one of documents."""
    if _is_of_documents(subject):
        raise SkipTest("it yields documents")
    source: TokenSource = subject.build(vocab_size=VOCAB_SIZE)
    return source


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns what it is registered to yield: a `DocumentSource`, or a `TokenSource`."""
    contract: Any = DocumentSource if _is_of_documents(subject) else TokenSource
    found = documents(subject) if _is_of_documents(subject) else tokens(subject)
    assert isinstance(found, contract), f"the factory returns a {type(found).__name__}, which is no {contract.__name__}"


def documents_are_complete(subject: Subject) -> None:
    """Each document has a name, a group, data that can be read, and a finite score or none; there is at least one."""
    count = 0
    for document in islice(documents(subject).documents(), ENOUGH):
        count += 1
        assert isinstance(document, Document), f"it yields a {type(document).__name__}, no Document"
        assert document.name and document.group, (
            f"document {count} has the name {document.name!r}, the group {document.group!r}"
        )
        data = document.data[:]
        assert isinstance(data, bytes) and len(data) == len(document.data), (
            f"the data of {document.name} cannot be read"
        )
        score = document.score
        assert score is None or math.isfinite(score), f"the score of {document.name} is {score}"
    assert count, "it yields no document; where there is nothing to read it raises UsageError"


def documents_come_again(subject: Subject) -> None:
    """The documents can be iterated again, and two at a time, always in the same order; so preparation resumes."""
    source = documents(subject)
    first = _seen(source.documents())
    assert _seen(source.documents()) == first, "iterated a second time it yields other documents, or none"
    assert _seen(documents(subject).documents()) == first, "built anew it yields other documents"
    one, other = source.documents(), source.documents()
    if next(one, None) is not None:
        assert _seen(other) == first, "two iterators that run at the same time disturb each other"


def documents_are_what_its_files_hold(subject: Subject) -> None:
    """What its files hold comes out: each text one document, in order, byte for byte."""
    documents(subject)
    with _example(subject) as (config, texts, _):
        found = [document.data[:] for document in subject.build(config).documents()]
    expected = [str(text).encode() for text in texts]
    assert len(found) == len(expected), f"of files with {len(expected)} documents it yields {len(found)}"
    for data, text in zip(found, expected, strict=True):
        assert data == text, f"{text!r} comes out as {data!r}"


def files_that_are_gone_are_refused(subject: Subject) -> None:
    """Where its files are gone it raises a UsageError of one line, when it is built or when it is read."""
    with _example(subject) as (config, _, folder):
        for path in folder.iterdir():
            shutil.rmtree(path)
        try:
            source = subject.build(config, **({} if _is_of_documents(subject) else {"vocab_size": VOCAB_SIZE}))
            found = list(source.documents()) if _is_of_documents(subject) else source.train()
        except UsageError as error:
            assert "\n" not in str(error), f"the refusal has several lines: {str(error)!r}"
            return
    raise AssertionError(f"it yields {len(found)} {subject.component.traits['yields']} of files that are gone")


def tokens_are_what_its_files_hold(subject: Subject) -> None:
    """What its files hold comes out: `train` is all ids of all documents in order, and starts are where they start."""
    tokens(subject)
    with _example(subject) as (config, found, _):
        source = subject.build(config, vocab_size=VOCAB_SIZE)
        ids, starts = source.train(), source.train_starts()
        expected = [*chain.from_iterable(found)]
        assert ids.tolist() == expected, f"of {expected} it has {ids.tolist()}"
        begins = [0, *accumulate(map(len, found))][:-1]
        assert starts is None or starts.tolist() == begins, f"documents start at {begins}, it says {starts.tolist()}"


@contextmanager
def _example(subject: Subject) -> Iterator[tuple[Any, list[Content], Path]]:
    """The configuration of new files, what is in them, and the folder they are in. Raises SkipTest without an example."""
    if not has_example(subject.component):
        raise SkipTest("it is registered without an example")
    with TemporaryDirectory(prefix="nanochat-contract-") as folder:
        settings, contents = written(subject.component, Path(folder))
        config = subject.selected({**subject.settings, **settings}).config
        try:
            yield config, contents, Path(folder)
        except UsageError as error:
            raise AssertionError(f"it refuses files of its own format: {error}") from error


def tokens_are_ids(subject: Subject) -> None:
    """`train` and `validation` are one-dimensional ids, unsigned and below vocab_size; there are some to train on."""
    source = tokens(subject)
    for name, ids in (("train", source.train()), ("validation", source.validation())):
        if ids is None:
            assert name == "validation", "train() is None"
            continue
        assert ids.ndim == 1, f"{name}() has the shape {ids.shape}"
        assert ids.dtype.kind == "u", f"{name}() is {ids.dtype}, not unsigned"
        assert len(ids) > 1, f"{name}() has {len(ids)} tokens"
        assert int(ids.max()) < VOCAB_SIZE, f"{name}() has the id {int(ids.max())} for a model of {VOCAB_SIZE} rows"


def tokens_come_again(subject: Subject) -> None:
    """The tokens are the same at each call and in each process: a step is found again by its number alone."""
    source, anew = tokens(subject), tokens(subject)
    for name in ("train", "validation"):
        first = getattr(source, name)()
        for other in (getattr(source, name)(), getattr(anew, name)()):
            assert (first is None) == (other is None), f"{name}() is there one time and not the other"
            assert first is None or np.array_equal(first, other), f"{name}() differs from one call to the next"


def starts_and_scores_fit(subject: Subject) -> None:
    """Starts of documents ascend within the tokens, the first at 0; there is a finite score for each, or none at all."""
    source = tokens(subject)
    for name in ("train", "validation"):
        starts, ids = getattr(source, f"{name}_starts")(), getattr(source, name)()
        if starts is None:
            continue
        assert ids is not None, f"{name}_starts() is there, {name}() is not"
        assert len(starts) and int(starts[0]) == 0, f"{name}_starts() does not begin at 0"
        assert bool((np.diff(starts.astype(np.int64)) > 0).all()), f"{name}_starts() does not ascend"
        assert int(starts[-1]) < len(ids), f"{name}_starts() ends at {int(starts[-1])} of {len(ids)} tokens"
    scores, starts = source.train_scores(), source.train_starts()
    if scores is not None:
        assert starts is not None and len(scores) == len(starts), "there is not one score for each document"
        assert bool(np.isfinite(scores).all()), "a score is not finite"


def a_vocabulary_that_is_too_small_is_refused(subject: Subject) -> None:
    """Tokens that a model of `vocab_size` rows cannot read are refused with a UsageError, before training."""
    tokens(subject)
    try:
        largest = int(subject.build(vocab_size=2).train().max())
    except UsageError:
        return
    assert largest < 2, f"its tokens reach {largest}, and a model of 2 rows is not refused"


def _seen(found: Iterator[Document]) -> list[tuple[str, str, bytes, float | None]]:
    return [(d.name, d.group, d.data[:], d.score) for d in islice(found, ENOUGH)]


LAWS = tuple(
    map(
        law,
        (
            the_factory_builds_the_contract,
            documents_are_complete,
            documents_come_again,
            documents_are_what_its_files_hold,
            files_that_are_gone_are_refused,
            tokens_are_what_its_files_hold,
            tokens_are_ids,
            tokens_come_again,
            starts_and_scores_fit,
            a_vocabulary_that_is_too_small_is_refused,
        ),
    )
)
