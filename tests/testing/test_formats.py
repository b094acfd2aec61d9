"""The contract suite on every installed component: sources, exporters and importers."""

from __future__ import annotations

import pytest

from nanochat_framework.testing import Case
from tests.testing.cases import cases_of

KINDS = ("source", "exporter", "importer")


@pytest.mark.parametrize("case", cases_of(*KINDS), ids=str)
def test_contract(case: Case) -> None:
    case.check()
