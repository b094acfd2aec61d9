"""docs/your-first-optimizer.md, followed literally in a clean environment."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.clean_environment import CleanEnvironment
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "your-first-optimizer.md"
BLOCK = re.compile(r"^```(\w+) +(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
SMALLER = ["train.steps=6", "schedule.warmup_steps=2", "train.batch_size=2", "model.n_layers=1", "model.vocab_size=300"]
FEW_STEPS = [*(word for setting in SMALLER for word in ("--set", setting)), "--quiet"]


@pytest.fixture(scope="module")
def reader(repository_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """The environment of a reader who has done all that the page says, with few training steps."""
    environment = CleanEnvironment(tmp_path_factory.mktemp("reader"), repository_wheel)
    for language, where, body in BLOCKS:
        if language != "sh":
            (environment.work / where).write_text(body, encoding="utf-8")
            continue
        assert where == "clean"
        for line in body.splitlines():
            command = shlex.split(line)
            environment.run(*command, *(FEW_STEPS if command[:2] == ["nanochat", "train"] else []))
    return environment


def test_the_readers_own_lines_are_few() -> None:
    own = [line for language, _, body in BLOCKS if language != "sh" for line in body.splitlines() if line.strip()]
    assert len(own) < 60


def test_it_trained_and_is_listed(reader: CleanEnvironment) -> None:
    listed = json.loads(reader.run("nanochat", "components", "list", "optimizer", "--json").stdout)
    assert ("jo/cautious", "nanochat-jo-cautious") in {(row["name"], row["distribution"]) for row in listed}
    for run in ("plain", "cautious"):
        lock = json.loads((reader.work / "runs" / run / "components.lock.json").read_text())
        (row,) = (row for row in lock if row["kind"] == "optimizer")
        assert (row["name"], row["distribution"], row["version"]) == ("jo/cautious", "nanochat-jo-cautious", "0.1.0")
        assert (reader.work / "runs" / run / "checkpoints" / "final" / "model.safetensors").is_file()


def test_what_was_written_was_used(reader: CleanEnvironment) -> None:
    losses = []
    for run in ("plain", "cautious"):
        lines = (reader.work / "runs" / run / "metrics.jsonl").read_text().splitlines()
        losses.append([record["train/loss"] for record in map(json.loads, lines) if "train/loss" in record])
    assert losses[0][0] == losses[1][0], "the same weights and data at the first step"
    assert losses[0][-1] != losses[1][-1], "another update rule from then on"


def test_the_first_mistake_that_the_page_proposes(reader: CleanEnvironment) -> None:
    config = (reader.work / "first.toml").read_text().replace('name = "jo', 'nome = "jo')
    (reader.work / "wrong.toml").write_text(config)
    said = reader.run("nanochat", "config", "check", "wrong.toml", code=2).stderr
    assert "wrong.toml:3: optimizer.0: a name is missing" in said and "jo/cautious" in said


@pytest.mark.slow
def test_the_page_for_authors_can_be_followed(reader: CleanEnvironment) -> None:
    page = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
    lines = [line for _, tag, body in BLOCK.findall(page) if tag in ("run", "clean") for line in body.splitlines()]
    assert sum(line.startswith("pip install") for line in lines) == 1
    for line in lines:
        reader.run(*shlex.split(line))


@pytest.mark.slow
def test_the_last_mistake_that_the_page_proposes(reader: CleanEnvironment) -> None:
    module = reader.work / "nanochat-jo-cautious" / "nanochat_jo_cautious" / "cautious.py"
    whole = module.read_text()
    module.write_text(whole.replace('            slots["momentum"].copy_(given)\n', ""))
    try:
        failed = reader.run("pytest", "-q", "nanochat-jo-cautious", code=1).stdout
    finally:
        module.write_text(whole)
    assert "resumes_in_the_middle" in failed
