"""The suite's own door: what it is called with, what it says, and that no kind is without laws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.kernels.table import NAIVE
from nanochat_framework.plugins import KINDS, Registry, UnknownComponent
from nanochat_framework.plugins.component import Component
from nanochat_framework.testing import BrokenContract, check_component, contract_cases, laws_of
from nanochat_framework.testing.kernel import EXAMPLES
from tests.testing.test_formats import KINDS as FORMATS
from tests.testing.test_model_parts import KINDS as MODEL_PARTS
from tests.testing.test_numbers import KINDS as NUMBERS
from tests.testing.test_training_parts import KINDS as TRAINING_PARTS


def test_every_kind_has_laws_and_is_tried() -> None:
    assert set(KINDS) == {*FORMATS, *MODEL_PARTS, *NUMBERS, *TRAINING_PARTS}
    everywhere = {law.name for law in laws_of("callback")} & {law.name for law in laws_of("schedule")}
    for kind in KINDS:
        laws = laws_of(kind)
        names = [law.name for law in laws]
        assert len(set(names)) == len(names)
        assert len(set(names) - everywhere) >= 2, f"{kind} has no laws of its own"
        assert all(law.states.endswith(".") for law in laws), "a law is stated in whole sentences"


def test_every_operation_of_the_core_has_inputs() -> None:
    assert set(EXAMPLES) == set(NAIVE)


def test_one_call_checks_a_component(registry: Registry) -> None:
    check_component("schedule", "wsd", registry)
    check_component("attention", "gqa", registry, settings={"n_heads": 2, "n_kv_heads": 1, "head_dim": 8})


def test_settings_that_do_not_go_together_are_named(registry: Registry) -> None:
    with pytest.raises(BrokenContract, match="n_kv_heads 3 must divide n_heads 4") as caught:
        check_component("attention", "gqa", registry, settings={"n_kv_heads": 3})
    assert "the_example_is_valid" in caught.value.laws


def test_a_setting_without_an_example_is_named() -> None:
    registry = Registry()
    about = {"summary": "needs a path", "plugin": "acme", "distribution": "acme", "version": "0"}
    registry.commit([Component("callback", "acme/notes", "tests.testing.mutants.configs:Folder", "os:fspath", **about)])
    with pytest.raises(AssertionError, match=r"acme/notes: the setting 'path' has neither a default nor an example"):
        check_component("callback", "acme/notes", registry)


def test_unknown_components_and_owners(registry: Registry) -> None:
    with pytest.raises(UnknownComponent, match="did you mean 'muon'"):
        check_component("optimizer", "mouon", registry)
    with pytest.raises(UsageError, match="no component of 'nobody' is registered"):
        contract_cases("nobody", registry=registry)


WITHOUT = """
import sys
sys.modules[{package!r}] = None
from nanochat_framework.testing import laws_of
try:
    print(len(laws_of("schedule")), "laws")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("pytest", "12 laws"),
        ("hypothesis", "UsageError the contract suite draws settings with hypothesis: pip install"),
    ],
)
def test_packages_that_may_be_absent(package: str, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT.format(package=package)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith(said), done.stdout


AUTHORS_FILE = """
import pytest
from nanochat_framework.testing import contract_cases

@pytest.mark.parametrize("case", contract_cases("schedules"), ids=str)
def test_contract(case):
    case.check()
"""


def test_an_authors_whole_test_file(tmp_path: Path) -> None:
    (tmp_path / "test_contract.py").write_text(AUTHORS_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_contract.py", "-k", "constant"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout
