"""The tests of this folder run on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.threads import one_thread


@pytest.fixture(scope="package", autouse=True)
def threads() -> Iterator[None]:
    """One."""
    with one_thread():
        yield
