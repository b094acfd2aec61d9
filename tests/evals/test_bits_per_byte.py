"""`bpb` and `nanochat eval`: cross-entropy of torch over the bytes of the text, documents together and apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from nanochat_evals.bits_per_byte import BitsPerByte
from nanochat_evals.config import BitsPerByteConfig
from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.evaluation import Subject
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.plugins import Registry
from tests.exporters.models import prepare_corpus
from tests.inference.checkpoints import write_checkpoint

SEQ_LEN = 64


@pytest.fixture
def place(tmp_path: Path, tiny_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint `model` and a data folder `data` of many short documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    prepare_corpus(tmp_path / "data")
    write_checkpoint(tmp_path, "model", tiny_config(model__vocab_size=608))
    return tmp_path


def subject_of(place: Path, registry: Registry, *, apart: bool) -> Subject:
    bundle = bundle_from(place / "model", registry)
    return Subject(model_from_bundle(bundle), bundle.tokenizer, place / "data", document_attention=apart)


def score(subject: Subject) -> dict[str, float]:
    found = BitsPerByte(BitsPerByteConfig(batch_size=3)).run(subject)
    return {name: each.value for name, each in found.items()}


def pieces(tokens: np.ndarray, starts: np.ndarray | None) -> list[np.ndarray]:
    """Every window of SEQ_LEN predictions, cut where a document begins if they are kept apart."""
    found = []
    for begin in range(0, len(tokens) - 1, SEQ_LEN):
        end = min(begin + SEQ_LEN + 1, len(tokens))
        inside = [] if starts is None else [int(s) for s in starts if begin < s < end]
        edges = [begin, *inside, end]
        found += [tokens[a:b] for a, b in pairwise(edges) if b - a > 1]
    return found


@pytest.mark.parametrize("apart", [False, True])
@torch.no_grad()
def test_the_same_as_windows_scored_one_by_one_with_torch(place: Path, registry: Registry, apart: bool) -> None:
    subject = subject_of(place, registry, apart=apart)
    assert subject.tokenizer is not None
    store = TokenStore.open(place / "data" / "val.bin", tokenizer=subject.tokenizer)
    tokens = np.asarray(store.tokens, dtype=np.int64)
    nats = bits = n_tokens = n_bytes = 0.0
    for piece in pieces(tokens, store.starts if apart else None):
        ids = torch.from_numpy(piece)
        losses = cross_entropy(subject.model(ids[None, :-1])[0].double(), ids[1:], reduction="none")
        sizes = torch.tensor([len(subject.tokenizer.decode_bytes([int(i)])) for i in ids[1:]])
        nats, n_tokens = nats + float(losses.sum()), n_tokens + len(losses)
        bits, n_bytes = bits + float(losses[sizes > 0].sum()) / math.log(2), n_bytes + int(sizes.sum())
    found = score(subject)
    assert found["eval/loss"] == pytest.approx(nats / n_tokens, rel=1e-5)
    assert found["eval/bits_per_byte"] == pytest.approx(bits / n_bytes, rel=1e-5)


def test_documents_apart_are_another_score(place: Path, registry: Registry) -> None:
    together, apart = (score(subject_of(place, registry, apart=apart)) for apart in (False, True))
    assert together["eval/loss"] != apart["eval/loss"]


def test_the_command_follows_how_the_model_was_trained(
    place: Path, registry: Registry, tiny_config: Callable[..., RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(place, "apart", tiny_config(model__vocab_size=608, data__document_attention=True))
    for name, apart in (("model", False), ("apart", True)):
        capsys.readouterr()
        assert main(["eval", name, "--data", "data", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["bpb"]["eval/loss"]["value"]
        assert found == pytest.approx(score(subject_of(place, registry, apart=apart))["eval/loss"], rel=1e-5)


def test_options_of_the_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "model", "--data", "data"]
    assert main([*command, "--json", "--device", "cpu", "--threads", "1"]) == 0
    record = json.loads(capsys.readouterr().out)["bpb"]["eval/bits_per_byte"]
    assert record["unit"] == "bits/byte" and set(record["baselines"]) == {"gzip -9", "xz -9e"}
    for options, expected in (
        (["--threads", "-1"], "--threads must be at least 0"),
        (["--threads", "9" * 20], f"--threads must be at least 0 and at most 4096, not {'9' * 20}"),
        (["--tasks", "x"], "--tasks: "),
        (["--tasks", ","], "--tasks ',': name one or more of: bpb"),
    ):
        assert main([*command, *options]) == 2
        assert expected in capsys.readouterr().err
