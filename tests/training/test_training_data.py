"""Mixtures, phases and packed documents through whole runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.training.training_data import TrainingData
from tests.conftest import tiny_dict

STEPS = 12
SOURCES = [
    {"name": "synthetic", "n_samples": 400, "weight": 2, "max_epochs": 1},
    {"name": "synthetic", "n_samples": 2000, "seed": 1},
]
PHASES = [
    {"until": 0.25, "seq_len": 8, "batch_size": 8, "weights": [1, 0], "difficulty": "length"},
    {"until": 0.5, "weights": [0, 1]},
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "mixed.toml"
    data = {"sources": SOURCES, "seq_len": 32, "packing": "documents", "document_attention": True, "phase": PHASES}
    path.write_text(
        tomli_w.dumps(
            tiny_dict(data=data, train__steps=STEPS, eval={"every": 6}, checkpoint={"every": 4, "keep_last": 9})
        )
    )
    return path


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", str(config), "--run", "mixed", "--runs-dir", str(runs), "--quiet"]) == 0
    return runs / "mixed"


def test_the_metrics_tell_where_the_data_is(finished: Path) -> None:
    records = [record for record in read_metrics(finished / "metrics.jsonl") if "train/loss" in record]
    assert [record["data/phase"] for record in records] == [0] * 3 + [1] * 3 + [2] * 6
    first = [record["data/epochs/synthetic.0"] for record in records]
    assert 0 < first[0] < first[2] == first[5] < first[6], "the second phase draws nothing from it"
    assert records[2]["data/epochs/synthetic.1"] == 0
    sizes = np.diff([0, *(record["tokens"] for record in records)])
    slots = [64] * 3 + [128] * 9
    assert all(0.7 * slot < size <= slot for slot, size in zip(slots, sizes, strict=True)), "padding is not counted"
    assert sizes[3:].min() < 128


@pytest.mark.parametrize("step", [4, 8])
def test_resuming_in_any_phase_continues_exactly(finished: Path, tmp_path: Path, step: int) -> None:
    shutil.copytree(finished, tmp_path / "again")
    assert main(["resume", "again", "--from", f"step_{step:08d}", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    kept = ("step", "tokens", "train/loss", "eval/loss", "data/epochs/synthetic.1")
    runs = [read_metrics(run / "metrics.jsonl") for run in (finished, tmp_path / "again")]
    assert [[r.get(key) for key in kept] for r in runs[0]] == [[r.get(key) for key in kept] for r in runs[1]]


def test_the_start_tells_what_is_mixed(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "train.steps=400", "--set", "train.batch_size=64", "--set", "data.seq_len=64"]
    arguments += ["--set", "eval.every=0", "--set", "data.phase=[]", "--set", "data.sources.0.n_samples=40"]
    code = main(
        ["train", str(config), "--run", "told", "--runs-dir", str(tmp_path), *arguments, "--set", "train.steps=2"]
    )
    said = capsys.readouterr().err.splitlines()
    assert code == 0
    assert any(line.startswith("source synthetic.0: 1,") and line.endswith("of the rows, 1.00 epochs") for line in said)
    assert [line for line in said if "used up" in line] == [
        "warning: synthetic.0 is used up after step 0 of 2 (max_epochs = 1); its share goes to the other sources"
    ]


def test_phases_are_told(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(config), "--run", "told", "--runs-dir", str(tmp_path), "--set", "train.steps=4"]) == 0
    said = capsys.readouterr().err
    assert "phase 0: steps 1 to 1, 8 sequences of 8 tokens, easy first by length, weights 1, 0\n" in said
    assert "phase 2: steps 3 to 4, 4 sequences of 32 tokens, weights 2, 1\n" in said


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, each with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, words in (("one", "the cat sat on the mat "), ("two", "colourless green ideas sleep furiously ")):
        texts = folder / f"{name}-text"
        texts.mkdir()
        for number in range(8):
            (texts / f"{number}.txt").write_text(words * (3 + number))
        command = ["prepare-data", "--text", str(texts), "--vocab-size", "300", "--output", str(folder / name)]
        assert main(command) == 0
    return folder


def sources(prepared: Path, *names: str) -> dict[str, Any]:
    return {
        "sources": [{"name": "tokens", "path": str(prepared / name / "tokens.bin")} for name in names],
        "seq_len": 16,
    }


def test_sources_share_a_tokenizer(tiny_config: Callable[..., RunConfig], prepared: Path) -> None:
    with pytest.raises(UsageError, match=r"tokens.1 were made with another tokenizer than those of tokens.0"):
        TrainingData(tiny_config(data=sources(prepared, "one", "two"), model__vocab_size=300))
    data = TrainingData(tiny_config(data=sources(prepared, "one", "one"), model__vocab_size=300))
    assert data.tokenizer_path == prepared / "one" / "tokenizer.json"
    held_out = data.held_out()
    assert held_out is not None
    assert held_out.byte_lengths is not None
    first, second = held_out.batches
    assert first.tokens.equal(second.tokens), "each source's held-out text is scored"


def test_scores_beside_the_tokens(tiny_config: Callable[..., RunConfig], prepared: Path, tmp_path: Path) -> None:
    """Rows follow a file of one float32 for each document."""
    folder = shutil.copytree(prepared / "one", tmp_path / "one")
    starts = TokenStore.open(folder / "tokens.bin").starts
    assert starts is not None
    scores = np.random.default_rng(0).permutation(len(starts)).astype("<f4")
    scores.tofile(folder / "tokens.scores.bin")
    data = {**sources(tmp_path, "one"), "seq_len": 256, "packing": "documents"}
    phase = {"until": 1.0, "difficulty": "scores"}
    config = tiny_config(
        data={**data, "phase": [phase]}, model__vocab_size=300, model__max_seq_len=256, train__steps=20
    )
    plan = TrainingData(config.model_copy(update={"train": config.train.model_copy(update={"batch_size": 1})})).plan()
    order = [np.searchsorted(starts, [first for first, _ in pieces], "right") - 1 for _, pieces in _epoch(plan)]
    means = [float(scores[documents].mean()) for documents in order]
    assert sorted(document for documents in order for document in documents) == list(range(len(starts)))
    assert means == sorted(means)
    (folder / "tokens.scores.bin").write_bytes(scores[:-1].tobytes())
    with pytest.raises(UsageError, match=rf"scores.bin: holds {len(starts) - 1} scores for {len(starts)} documents"):
        TrainingData(config)
    (folder / "tokens.scores.bin").write_bytes(b"abc")
    with pytest.raises(UsageError, match="3 bytes are not a whole number of 4-byte numbers"):
        TrainingData(config)


def _epoch(plan: Any) -> list[Any]:
    return [row for step in range(20) if plan.epochs(step)[0] < 1 for row in plan.rows(step)]


def test_what_bare_tokens_cannot_do_is_one_line(
    config: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(prepared / "one" / "tokens.bin", tmp_path / "bare.bin")
    sources = json.dumps([{"name": "tokens", "path": str(tmp_path / "bare.bin")}]).replace('":', '" =')
    arguments = ["--set", f"data.sources={sources}", "--set", "data.phase=[]", "--set", "model.vocab_size=300"]
    code = main(["train", str(config), "--run", "bare", "--runs-dir", str(tmp_path / "runs"), "--quiet", *arguments])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert code == 2
    assert len(errors) == 1
    assert "tokens: nothing tells where its documents start" in errors[0]
    assert not (tmp_path / "runs" / "bare").exists()
