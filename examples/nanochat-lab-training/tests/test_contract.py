"""Both components keep the laws of their kinds."""

from __future__ import annotations

import pytest

from nanochat_framework.testing import Case, contract_cases


@pytest.mark.parametrize("case", contract_cases("nanochat-lab-training"), ids=str)
def test_contract(case: Case) -> None:
    """One law and one component."""
    case.check()
