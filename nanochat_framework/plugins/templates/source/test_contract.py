"""Every component of this plugin keeps the laws of its kind, as nanochat's own do."""

from __future__ import annotations

import pytest

from nanochat_framework.testing import Case, contract_cases

SETTINGS = {("source", "acme/widget"): {"paths": [__file__]}}
"""What a component cannot do without and has no example of: a file to read."""
CASES = contract_cases("acme_widget", settings=SETTINGS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case) -> None:
    """One law and one component; the failure says what the law states."""
    case.check()
