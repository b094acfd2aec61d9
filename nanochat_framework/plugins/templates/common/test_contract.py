"""Every component of this plugin keeps the laws of its kind, as nanochat's own do."""

from __future__ import annotations

import pytest

from nanochat_framework.testing import Case, contract_cases

CASES = contract_cases("acme_widget")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case) -> None:
    """One law and one component; the failure says what the law states."""
    case.check()
