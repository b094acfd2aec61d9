"""Overlap and near-duplicates against counting everything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.cli import main
from nanochat_framework.data import overlap as module
from nanochat_framework.data.overlap import NGRAM, SHINGLE, Overlap, measure_overlap
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.data.tokenizer import Tokenizer

Documents = list[list[int]]


def _write(path: Path, documents: Documents) -> Path:
    marked = [[0, *document, 1] for document in documents]
    np.array([token for document in marked for token in document], dtype="<u4").tofile(path)
    lengths = [len(document) for document in marked]
    np.array(np.cumsum([0, *lengths])[:-1], dtype="<u8").tofile(path.with_suffix(".starts.bin"))
    return path


def _measure(folder: Path, train: Documents, held_out: Documents) -> Overlap:
    files = _write(folder / "tokens.bin", train), _write(folder / "val.bin", held_out)
    return measure_overlap(*files, lambda amount: None)


def _runs(document: list[int], length: int) -> list[tuple[int, ...]]:
    return [tuple(document[at : at + length]) for at in range(len(document) - length + 1)]


SMALL = st.lists(st.lists(st.integers(33, 35), min_size=1, max_size=40), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=SMALL, held_out=SMALL, chunk=st.sampled_from([13, 40, 2**20]))
def test_share_of_runs_that_were_seen(tmp_path: Path, train: Documents, held_out: Documents, chunk: int) -> None:
    known = {run for document in train for run in _runs(document, NGRAM)}
    runs = [run for document in held_out for run in _runs(document, NGRAM)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        found = _measure(tmp_path, train, held_out)
    assert found.one_in == 1
    expected = sum(run in known for run in runs) / len(runs) if runs else None
    assert found.ngrams_seen == (pytest.approx(expected) if runs else None)


def test_a_sample_of_the_runs_tells_nearly_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    held_out = [generator.integers(33, 5000, 3000).tolist() for _ in range(20)]
    train = [generator.integers(33, 5000, 3000).tolist() for _ in range(5)] + held_out[:5]
    monkeypatch.setattr(module, "MOST_NGRAMS", 8000)
    found = _measure(tmp_path, train, held_out)
    assert found.one_in == 8
    assert found.ngrams_seen == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("chunk", [100, 2**20])
def test_signatures_estimate_common_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    generator = np.random.default_rng(1)
    base = generator.integers(33, 5000, 800).tolist()
    documents = [base]
    for changes in (2, 10, 40, 120):
        other = list(base)
        for place in generator.integers(0, len(base), changes):
            other[place] = int(generator.integers(33, 5000))
        documents.append(other)
    signatures = module._signatures(_write(tmp_path / "tokens.bin", documents), lambda amount: None)
    sets = [set(_runs(document, SHINGLE)) for document in documents]
    for one, other in zip(signatures, sets, strict=True):
        truth = len(other & sets[0]) / len(other | sets[0])
        assert (one == signatures[0]).mean() == pytest.approx(truth, abs=0.17)


def test_repeats_are_found_and_strangers_are_not(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    strangers = [generator.integers(33, 5000, length).tolist() for length in (8, 20, 60, 300, 300, 2000)]
    nearly = [*strangers[5][:1000], 77, *strangers[5][1001:]]
    train = [*strangers[:5], strangers[1], nearly, strangers[3], [40, 41], [40, 41]]
    found = _measure(tmp_path, train, [strangers[5], strangers[4]])
    assert found.near_held_out == 2, "the nearly equal one and the equal one"
    assert found.repeats.tolist() == [False] * 4 + [True, True, True, True] + [False, False]


def test_prepare_tells_and_drops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(3)
    words = ["alpha", "beta", "gamma", "delta", "of", "and", "one", "two", "see", "said", "\n"]
    texts = [" ".join(generator.choice(words, 200)) for _ in range(30)]
    rows = [*texts, *texts[:10], *[text + " more" for text in texts[10:15]]]
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps({"text": row, "s": number}) + "\n" for number, row in enumerate(rows)))
    command = ["prepare-data", "--text", str(file), "--vocab-size", "350", "--score-field", "s"]
    assert main([*command, "--output", str(tmp_path / "all")]) == 0
    assert "of its 13-token runs occur in training" in capsys.readouterr().out
    assert main([*command, "--output", str(tmp_path / "fewer"), "--drop-duplicates"]) == 0
    assert "dropped" in capsys.readouterr().out
    facts = {name: json.loads((tmp_path / name / "data.json").read_text()) for name in ("all", "fewer")}
    repeats = facts["all"]["overlap"]["repeating_documents"]
    assert repeats >= 10
    store = TokenStore.open(tmp_path / "fewer" / "tokens.bin")
    assert store.starts is not None
    assert store.scores is not None
    assert facts["fewer"]["overlap"]["dropped_documents"] == repeats
    assert facts["fewer"]["overlap"]["repeating_documents"] == 0
    assert facts["fewer"]["overlap"]["near_held_out"] == 0
    assert len(store.starts) == facts["all"]["files"]["tokens.bin"]["documents"] - repeats
    tokenizer = Tokenizer.load(tmp_path / "fewer" / "tokenizer.json")
    assert store.facts is not None
    assert store.facts["bytes"] == len(tokenizer.decode_bytes(store.tokens))
    kept = [tokenizer.decode(document[1:-1]) for document in np.split(store.tokens, store.starts[1:].astype(int))]
    assert kept == [rows[int(score)] for score in store.scores]
    whole = (tmp_path / "all" / "val.bin").read_bytes()
    assert whole == (tmp_path / "fewer" / "val.bin").read_bytes()
