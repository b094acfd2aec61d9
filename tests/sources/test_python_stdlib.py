"""The running Python's standard library as documents."""

from __future__ import annotations

from nanochat_sources.config import PythonStdlibConfig
from nanochat_sources.python_stdlib import SHORTEST_DOCUMENT, PythonStdlibSource


def test_modules_without_tests_and_packages_of_others() -> None:
    documents = list(PythonStdlibSource(PythonStdlibConfig()).documents())
    names = [document.name for document in documents]
    assert {"argparse.py", "json/decoder.py", "os.py"} <= set(names)
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"site-packages", "test", "tests", "idle_test", "__pycache__"}
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert {document.group for document in documents if document.name.startswith("json/")} == {"json"}
    assert next(document.group for document in documents if document.name == "os.py") == "os"


def test_no_document_twice_and_none_empty() -> None:
    documents = list(PythonStdlibSource(PythonStdlibConfig()).documents())
    contents = [bytes(document.data) for document in documents]
    assert len(set(contents)) == len(contents)
    assert min(map(len, contents)) >= SHORTEST_DOCUMENT
    assert sum(map(len, contents)) > 5_000_000
