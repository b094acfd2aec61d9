"""The laws of an importer (`contracts.exporter.Importer`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from nanochat_framework.contracts.exporter import Importer, ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.testing.bundles import bundles_of
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law


def built(subject: Subject) -> Importer:
    """The importer."""
    importer: Importer = subject.build()
    return importer


def the_factory_builds_the_contract(subject: Subject) -> None:
    """The factory returns an `Importer`, registered with the suffixes or the marker files that it is chosen by."""
    found, traits = built(subject), subject.component.traits
    assert isinstance(found, Importer), f"the factory returns a {type(found).__name__}, which is no Importer"
    assert traits["suffixes"] or traits["markers"], "it has neither suffixes nor markers, so nothing chooses it"
    for suffix in traits["suffixes"]:
        assert suffix.startswith(".") and suffix == suffix.lower(), (
            f"the suffix {suffix!r} must be lower case with a dot"
        )


def what_is_no_model_is_refused(subject: Subject) -> None:
    """A file that is empty, damaged, cut short or not there is refused with a UsageError that has its path."""
    contents: dict[str, Callable[[Path], object]] = {
        "not there": lambda path: None,
        "empty": lambda path: path.write_bytes(b""),
        "text": lambda path: path.write_text("this is no model\n" * 50),
        "zeros": lambda path: path.write_bytes(bytes(4096)),
        "noise": lambda path: path.write_bytes(bytes((7 * n * n + n) % 256 for n in range(4096))),
    }
    for what, write in contents.items():
        with TemporaryDirectory() as folder:
            path, file = _place(subject, Path(folder))
            write(file)
            _expect_refusal(subject, path, what)


def a_file_that_is_cut_short_is_refused(subject: Subject) -> None:
    """What an exporter of the same name wrote is read; without its end it is refused with a UsageError that has its path."""
    if subject.component.name not in subject.registry.names("exporter"):
        return
    exporter = Subject.of("exporter", subject.component.name, subject.registry).build()
    for _, members in bundles_of(subject.registry).families():
        for bundle in members:
            with TemporaryDirectory() as folder:
                path, _ = _place(subject, Path(folder), create=False)
                try:
                    exporter.export(bundle, path)
                except UsageError:
                    continue
                read = built(subject).load(path, subject.registry)
                assert isinstance(read, ModelBundle), f"load returns a {type(read).__name__}, which is no ModelBundle"
                _cut_short(subject, path)
                return


def _cut_short(subject: Subject, path: Path) -> None:
    """Take the ends of the largest file away, one after another, and expect a refusal each time."""
    largest = (
        max((f for f in path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size) if path.is_dir() else path
    )
    whole = largest.read_bytes()
    for share in (0.99, 0.5, 0.05):
        largest.write_bytes(whole[: int(share * len(whole))])
        _expect_refusal(subject, path, f"a file of which {share:.0%} is left")


def _place(subject: Subject, folder: Path, *, create: bool = True) -> tuple[Path, Path]:
    """What the importer is given, and the file by which it is chosen: itself, or one in it."""
    traits = subject.component.traits
    if traits["suffixes"]:
        path = folder / f"model{traits['suffixes'][0]}"
        return path, path
    if create:
        (folder / "model").mkdir()
    return folder / "model", folder / "model" / traits["markers"][0]


def _expect_refusal(subject: Subject, path: Path, what: str) -> None:
    try:
        built(subject).load(path, subject.registry)
    except UsageError as error:
        assert path.name in str(error), f"the refusal of {what} does not name the file: {error}"
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__} ({error}), no UsageError") from error
    raise AssertionError(f"{what} is read as if it were a model")


LAWS = tuple(
    map(law, (the_factory_builds_the_contract, what_is_no_model_is_refused, a_file_that_is_cut_short_is_refused))
)
