"""The optimizer benchmark: its search, and the command on a few real steps. Nothing here looks at a time."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework import cli
from nanochat_framework.benchmarks.optimizer_table import rows
from nanochat_framework.benchmarks.optimizers import CONFIG, WIDEST, Case, Results, Setting, next_wave
from nanochat_framework.cli.bench_optimizers import _text_at_hand
from nanochat_framework.config.load import load_config
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.jsonlines import JsonLinesReader

SMALL = """
[model]
name = "decoder"
dim = 16
n_layers = 1
vocab_size = 300
max_seq_len = 16
tie_embeddings = true
attention = { name = "gqa", n_heads = 2, n_kv_heads = 1, head_dim = 8 }
ffn = { name = "swiglu", hidden_dim = 24 }
norm = "rms"
residual = "add"
[[optimizer]]
match = "matrix"
name = "muon"
ns_steps = 3
[[optimizer]]
match = "*"
name = "lion"
[schedule]
name = "constant"
[data]
source = { name = "tokens", path = "data/tokens.bin" }
seq_len = 16
[train]
steps = 10
batch_size = 2
[eval]
batches = 2
[hardware]
device = "cpu"
threads = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration and a data folder."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "small.toml").write_text(SMALL)
    for number in range(20):
        text = folder / "text" / str(number) / "a.txt"
        text.parent.mkdir(parents=True)
        text.write_text("".join(f"{number} times {other} is {number * other}.\n" for other in range(60)))
    arguments = ["--text", str(folder / "text"), "--vocab-size", "300", "--validation-fraction", "0.2"]
    assert cli.main(["prepare-data", *arguments, "--output", str(folder / "data"), "--threads", "1"]) == 0
    return folder


@pytest.fixture
def bench(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """The command's rows."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        common = ["--config", str(folder / "small.toml"), "--data", str(folder / "data"), "--json"]
        assert cli.main(["bench", "optimizers", *common, *arguments]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    return run


def lines_of(path: Path) -> list[dict[str, Any]]:
    return list(JsonLinesReader(path))


def test_each_optimizer_trains_to_the_same_tokens(bench: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "lines.jsonl"
    names = ["muon", "muon_8bit", "lion", "adamw", "galore"]
    arguments = [
        "--optimizers",
        ",".join(names),
        "--steps",
        "3",
        "--seeds",
        "2",
        "--no-search",
        "--set",
        "galore.rank=4",
    ]
    table = bench(*arguments, "--output", str(output))
    assert [row["optimizer"] for row in table] == names
    assert [row["lr"] for row in table] == [0.02, 0.02, 1e-4, 3e-4, 1e-2]
    state = {row["optimizer"]: row["state_bytes_per_parameter"] for row in table}
    assert state["muon"] == state["lion"] == 4.0
    assert state["adamw"] == pytest.approx(8.0, abs=0.1)
    assert 1.0 < state["muon_8bit"] < 1.2
    assert 3.0 < state["galore"] < 4.0  # rank 4 of 16: 4 bytes · (4 / long + 2 · 4 / short), the smallest matrices most
    lines = lines_of(output)
    for row in table:
        scores = [line["bits_per_byte"] for line in lines if line["optimizer"] == row["optimizer"]]
        assert row["bits_per_byte"] == pytest.approx(sum(scores) / 2)
        assert row["standard_error"] == pytest.approx(abs(scores[0] - scores[1]) / 2)
        assert row["step_time_ratio"] > 0
    assert len({row["bits_per_byte"] for row in table}) == len(names)
    assert bench(*arguments, "--output", str(output)) == table, "all lines were there already"
    assert lines_of(output) == lines


def test_a_run_is_the_same_alone_and_in_a_wave_and_goes_on_from_its_lines(
    bench: Callable[..., Any], tmp_path: Path
) -> None:
    together, apart = tmp_path / "together.jsonl", tmp_path / "apart.jsonl"
    bench("--optimizers", "muon,lion_8bit", "--steps", "2", "--seeds", "1", "--no-search", "--output", str(together))
    bench("--optimizers", "muon", "--steps", "2", "--seeds", "1", "--no-search", "--output", str(apart))
    with apart.open("a") as file:
        file.write('{"torn')
    bench("--optimizers", "muon,lion_8bit", "--steps", "2", "--seeds", "1", "--no-search", "--output", str(apart))
    timed = {"seconds_per_step", "together"}
    found = [[{k: v for k, v in line.items() if k not in timed} for line in lines_of(p)] for p in (together, apart)]
    assert found[0] == found[1]
    longer = bench("--optimizers", "muon", "--steps", "3", "--seeds", "1", "--no-search", "--output", str(apart))
    assert len(lines_of(apart)) == 3, "another number of steps is another run"
    assert longer[0]["runs"] == 1


def test_without_names_every_optimizer_that_can_be_built_is_compared(
    bench: Callable[..., Any], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchao is taken away, so what stands on it is left out."""
    monkeypatch.setitem(sys.modules, "torchao", None)
    found = [row["optimizer"] for row in bench("--steps", "2", "--seeds", "1", "--no-search")]
    assert found[0] == "muon"
    assert sorted(found) == [name for name in registry.names("optimizer") if name != "adamw_8bit"]


def test_the_search_runs_neighbours_of_the_best_rate(bench: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "lines.jsonl"
    (row,) = bench("--optimizers", "lion", "--steps", "2", "--seeds", "2", "--output", str(output))
    lines = lines_of(output)
    first = {line["exponent"]: line["bits_per_byte"] for line in lines if line["seed"] == 0}
    best = min(first, key=lambda exponent: first[exponent])
    assert {line["exponent"] for line in lines if line["seed"] == 1} == {best}
    assert row["lr"] == pytest.approx(1e-4 * 10 ** (best / 2), rel=1e-3)
    assert row["widest"] == (abs(best) == WIDEST)
    assert row["runs"] == len(lines)
    assert row["widest"] or {best - 1, best + 1} <= set(first)


@given(st.lists(st.floats(0.5, 9.0), min_size=2 * WIDEST + 1, max_size=2 * WIDEST + 1), st.integers(0, 40))
def test_the_search_ends_where_both_neighbours_are_worse(scores: list[float], seed: int) -> None:
    """Without training: what a run would give is looked up."""
    curve = dict(zip(range(-WIDEST, WIDEST + 1), scores, strict=True))
    done: dict[int, float] = {}

    class Looked(Results):
        def score(self, case: Case) -> float | None:
            assert case.seed == seed
            return done.get(case.exponent)

    results = Looked(Setting("", Registry(), Path(), 1, {}), [], lambda line: None)
    for _ in range(2 * WIDEST + 2):
        best, wanted = results.search("any", seed)
        if wanted is None:
            break
        assert wanted not in done
        done[wanted] = curve[wanted]
    assert wanted is None
    assert done[best] == min(done.values())
    assert all(curve[near] >= curve[best] for near in (best - 1, best + 1) if near in curve)


def test_a_run_that_diverged_is_never_the_best(folder: Path, registry: Registry) -> None:
    setting = Setting(folder / "small.toml", registry, folder / "data", 2, {})
    results = Results(setting, [], lambda line: None)
    base = {"lr": 0.1, "together": "a", "seconds_per_step": 1.0, "parameters": 1, "state_bytes": 4, "skipped_steps": 0}
    for exponent, score in ((0, 3.0), (1, "NaN"), (-1, math.nan)):
        case = Case("lion", exponent, 0)
        results.add(case, {"optimizer": "lion", "exponent": exponent, "bits_per_byte": score, **base})
    assert next_wave(results, ["lion"], [0], search=True) == []
    assert rows(results, ["lion"], [0], search=True)[0].bits_per_byte == 3.0


def test_the_shipped_configuration_is_valid(registry: Registry) -> None:
    config = load_config(CONFIG, registry=registry).config
    assert [rule.component.name for rule in config.optimizer] == ["muon", "lion"]
    assert config.quantizer == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizers", "moun"], "--optimizers: "),
        (["--optimizers", ","], "--optimizers: names at least one"),
        (["--steps", "0"], "--steps 0: at least 1 is needed"),
        (["--optimizers", "muon", "--set", "lion.lr=1"], "--set lion.lr=1: begins with none of the optimizers (muon)"),
        (["--optimizers", "muon", "--set", "muon.lrr=1"], "optimizer.0.lrr"),
        (["--set", "galore.rank=0"], "optimizer.0.rank: must be at least 1"),
        (["--data", "nowhere"], "--data nowhere: has no data.json"),
    ],
)
def test_mistakes_are_one_line(
    arguments: Sequence[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--config", str(folder / "small.toml"), "--data", str(folder / "data")]
    assert cli.main(["bench", "optimizers", *common, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_without_data_pythons_library_is_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "lines.jsonl"
    arguments = ["--optimizers", "muon", "--steps", "2", "--seeds", "1", "--no-search", "--output", str(output)]
    assert cli.main(["bench", "optimizers", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split()[:3] == ["muon", "0.02", "1"]
    assert "2 steps; parameters that match 'matrix' are under the optimizer of the row" in captured.err
    assert 2.0 < lines_of(output)[0]["bits_per_byte"] < 4.0


def test_without_data_it_takes_the_text_that_a_plugin_says_is_on_every_machine(registry: Registry) -> None:
    found = _text_at_hand(registry)
    assert next(iter(found.load_factory()(found.config_class()()).documents())).data
    with pytest.raises(UsageError, match="--data: no plugin here brings a text"):
        _text_at_hand(Registry())
