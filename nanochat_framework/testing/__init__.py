"""The contract suite: what every component of a kind must do, as checks that plugin authors run on their own.

A whole test file of a plugin::

    import pytest
    from nanochat_framework.testing import contract_cases

    @pytest.mark.parametrize("case", contract_cases("my-plugin"), ids=str)
    def test_contract(case):
        case.check()

Its panels, if it has some: `check_panels("my-plugin")`.

One component, anywhere: `check_component("optimizer", "vendor/name", registry)`. The laws themselves need no pytest;
those that draw settings at random need hypothesis (`pip install 'nanochat-framework[testing]'`).
"""

from nanochat_framework.testing.panels import check_panels
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import BrokenContract, Case, Law, check_component, contract_cases, laws_of

__all__ = ["BrokenContract", "Case", "Law", "Subject", "check_component", "check_panels", "contract_cases", "laws_of"]
