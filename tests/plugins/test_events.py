"""Event hooks and callbacks of strangers in real trainings: told of everything, and never the end of one."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.metrics import read_metrics
from tests.plugins.place import Place, Trained

PLUGIN = """
    import json
    from nanochat_framework.plugins import Panel, hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_register(registrar):
        for name in ("clumsy", "vital", "strict", "mean", "killer", "enough"):
            registrar.callback(f"acme/{name}", config="nanochat_framework.config.component:ComponentConfig",
                               factory=f".callbacks:{name}", summary="raises")

    def note(run, hook, **facts):
        with (run.folder / "told.jsonl").open("a") as file:
            file.write(json.dumps([hook, run.name, run.attempt, run.config["train"]["steps"], facts], default=str) + "\\n")

    @hookimpl
    def nanochat_run_started(run, step, total_steps):
        note(run, "started", step=step, total_steps=total_steps)

    @hookimpl
    def nanochat_step(run, step, metrics):
        note(run, "step", step=step, metrics=sorted(metrics))

    @hookimpl
    def nanochat_evaluated(run, scores):
        note(run, "evaluated", scores=sorted(scores))

    @hookimpl
    def nanochat_checkpoint_written(run, path):
        note(run, "checkpoint", whole=(path / "meta.json").is_file())

    @hookimpl
    def nanochat_run_ended(run, step, state, error):
        note(run, "ended", step=step, state=state, error=error)

    @hookimpl
    def nanochat_panels():
        return [Panel("acme/told", "What was told", lambda folder: (folder / "told.jsonl").read_text().splitlines())]
"""

CALLBACKS = """
    import os, signal
    import torch
    from nanochat_framework.contracts.callback import Callback
    from nanochat_framework.errors import UsageError

    class Clumsy(Callback):
        def after_step(self, trainer, result):
            print("clumsy", result.step)
            raise SystemExit(f"step {result.step}") if result.step == 1 else ZeroDivisionError("in a\\ncallback")

        def state(self):
            return {"tensor": torch.zeros(2)}

    class Vital(Callback):
        essential = True

        def after_step(self, trainer, result):
            raise ZeroDivisionError("without me it is worth nothing")

    class Strict(Callback):
        def on_start(self, trainer):
            raise UsageError("acme/strict: needs a server that is not there")

    class Mean(Callback):
        def __init__(self):
            self.steps, self.sum = 0, 0.0

        def after_step(self, trainer, result):
            self.steps, self.sum = self.steps + 1, self.sum + result.losses["loss"]

        def state(self):
            return {"steps": self.steps, "sum": self.sum}

        def load_state(self, state):
            self.steps, self.sum = state["steps"], state["sum"]

    class Killer(Callback):
        def before_step(self, trainer):
            if (trainer.step, trainer.events.attempt) == (4, 1):
                os.kill(os.getpid(), signal.SIGKILL)

    class Enough(Callback):
        def after_step(self, trainer, result):
            if result.step == 2:
                trainer.request_stop("enough")

    def mean(config): return Mean()
    def killer(config): return Killer()
    def enough(config): return Enough()
    def clumsy(config): return Clumsy()
    def vital(config): return Vital()
    def strict(config): return Strict()
"""

RAISING = """
    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_step(step):
        print("raising", step)
        raise RuntimeError(f"at step {step}")
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_plugins_are_told_of_everything(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    trained = place.train()
    assert (trained.code, trained.stderr) == (0, "")
    told = trained.told()
    assert [hook for hook, *_ in told] == [
        *("started", "step", "step", "step", "checkpoint"),
        *("step", "evaluated", "checkpoint", "step", "evaluated", "checkpoint", "ended"),
    ]
    assert {tuple(facts[:3]) for _, *facts in told} == {("x", 1, 5)}
    assert told[0][4] == {"step": 0, "total_steps": 5}
    assert told[-1][4] == {"step": 5, "state": "finished", "error": None}
    steps = [facts for hook, *_, facts in told if hook == "step"]
    assert [facts["step"] for facts in steps] == [1, 2, 3, 4, 5]
    assert steps[0]["metrics"] == ["train/grad_norm", "train/loss", "train/total_loss"]
    scores = [facts["scores"] for hook, *_, facts in told if hook == "evaluated"]
    assert scores == 2 * [["eval/loss", "eval/perplexity"]]
    assert all(facts["whole"] for hook, *_, facts in told if hook == "checkpoint")
    assert not trained.events("plugin_error")


def test_a_hook_that_raises_is_told_counted_and_switched_off(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    place.install("raising", __init__=RAISING)
    trained = place.train()
    assert trained.code == 0
    errors = trained.events("plugin_error")
    assert [(e["plugin"], e["hook"], e["switched_off"]) for e in errors] == [
        ("raising", "nanochat_step", off) for off in (False, False, True)
    ]
    assert errors[0]["error"].startswith("RuntimeError: at step 1 (")
    lines = trained.stderr.splitlines()
    assert len(lines) == 3, trained.stderr
    assert lines[0].startswith("plugin raising: nanochat_step: RuntimeError: at step 1 (")
    assert lines[2].endswith("; it is switched off")
    assert trained.stdout.splitlines() == [f"raising {step}" for step in (1, 2, 3)], "not called a fourth time"
    assert len([1 for hook, *_ in trained.told() if hook == "step"]) == 5, "the other plugin is told of every step"


def test_a_callback_that_raises_is_switched_off_and_the_run_resumes(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    trained = place.train(callback=[{"name": "acme/clumsy"}])
    assert trained.code == 0, trained.stderr
    errors = trained.events("callback_error")
    assert [(e["callback"], e["hook"], e["switched_off"]) for e in errors] == [
        ("Clumsy", "after_step", False),
        ("Clumsy", "after_step", False),
        ("Clumsy", "after_step", True),
    ]
    assert errors[0]["error"].startswith("SystemExit: step 1")
    assert errors[1]["error"].startswith("ZeroDivisionError: in a callback (")
    assert trained.stdout.splitlines() == ["clumsy 1", "clumsy 2", "clumsy 3"]
    store = CheckpointStore(trained.run / "checkpoints")
    assert not store.verify(store.root / "final")
    again = place.nanochat("resume", str(trained.run), "--from", "step_00000003", "--quiet")
    assert again.code == 0, again.stderr
    assert again.events("finished")[-1]["attempt"] == 2


def test_a_checkpoint_has_what_callbacks_took_in_at_its_step(place: Place) -> None:
    """Killed with SIGKILL at a step after a checkpoint and resumed: the state is the uninterrupted run's, bit for bit."""
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    killed = place.train(callback=[{"name": "acme/mean"}, {"name": "acme/killer"}])
    assert killed.code == -signal.SIGKILL
    at_3 = _state_of_mean(killed, "step_00000003")
    assert at_3["steps"] == 3
    assert at_3["sum"] == sum(r["train/loss"] for r in read_metrics(killed.run / "metrics.jsonl")[:3])
    resumed = place.nanochat("resume", str(killed.run), "--quiet")
    assert resumed.code == 0, resumed.stderr
    after_a_kill = _state_of_mean(resumed, "final")
    shutil.rmtree(killed.run)
    alone = place.train(callback=[{"name": "acme/mean"}])
    assert alone.code == 0, alone.stderr
    assert after_a_kill == _state_of_mean(alone, "final")
    assert after_a_kill["steps"] == 5


def _state_of_mean(trained: Trained, checkpoint: str) -> dict[str, Any]:
    meta = json.loads((trained.run / "checkpoints" / checkpoint / "meta.json").read_text())
    state: dict[str, Any] = meta["callbacks"]["Mean"]
    return state


def test_an_end_that_a_callback_asks_for_comes_with_a_checkpoint(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    trained = place.train(callback=[{"name": "acme/enough"}])
    assert trained.code == 3, trained.stderr
    assert trained.events("stopped")[-1]["reason"] == "enough"
    assert [event["step"] for event in trained.events("checkpoint")] == [2], "no step is lost"


def test_a_state_that_json_cannot_hold_is_left_out_of_the_checkpoint(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    trained = place.train(callback=[{"name": "acme/clumsy"}], train__steps=1)
    assert trained.code == 0, trained.stderr
    (first, second) = trained.events("callback_error")
    assert {first["hook"], second["hook"]} == {"after_step", "state"}
    meta = json.loads((trained.run / "checkpoints" / "final" / "meta.json").read_text())
    assert "Clumsy" not in meta["callbacks"]
    assert "EvaluationCallback" in meta["callbacks"]


def test_an_essential_callback_and_one_that_cannot_start_stop_the_run(place: Place) -> None:
    place.install("listener", __init__=PLUGIN, callbacks=CALLBACKS)
    trained = place.train(callback=[{"name": "acme/strict"}])
    assert trained.code == 2
    assert "acme/strict: needs a server that is not there" in trained.stderr
    assert not trained.run.exists(), "refused before the first step: the name is free again"
    trained = place.train(callback=[{"name": "acme/vital"}])
    assert trained.code == 1
    assert "without me it is worth nothing" in trained.stderr
    assert trained.events("failed")
    ended = [facts for hook, *_, facts in trained.told() if hook == "ended"]
    assert ended == [{"step": 1, "state": "failed", "error": "without me it is worth nothing"}]
