"""Scoring a checkpoint: what to score it by, the command, its scores as a table."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.table import Table
from rich.text import Text

from nanochat_framework.errors import UsageError
from nanochat_tui.commands import ask
from nanochat_tui.forms import Field, Form, Values


async def evaluation_form(run: str, checkpoint: Path) -> EvaluationForm:
    """The form, with the tasks that there are. Raises NanochatError."""
    known = {each["name"]: each["summary"] for each in await ask("components", "list", "evaluation", "--json")}
    return EvaluationForm(run, checkpoint, known)


class EvaluationForm(Form):
    """Tasks, data, weights and device."""

    def __init__(self, run: str, checkpoint: Path, tasks: dict[str, str]) -> None:
        self.checkpoint, self.tasks = checkpoint, tasks
        about = "\n".join(f"{name}: {summary}" for name, summary in tasks.items())
        fields = [
            Field(
                "tasks",
                f"Names, with commas between them.\n{about}",
                "bpb" if "bpb" in tasks else next(iter(tasks), ""),
            ),
            Field("data", "Data folder; empty: the one it was trained on", shown="the trained one"),
            Field(
                "weights",
                "The trained weights, or their average where train.ema_decay kept one",
                "trained",
                ("trained", "ema"),
            ),
            Field(
                "device",
                "Where to compute; a training on the same device is slowed down",
                "auto",
                ("auto", "cpu", "cuda", "mps"),
            ),
        ]
        super().__init__(f"Evaluate {checkpoint.name} of {run}", fields, does="evaluate", check=self._checked)

    async def _checked(self, values: Values) -> None:
        names = [name.strip() for name in values["tasks"].split(",")]
        unknown = [name for name in names if name not in self.tasks]
        if unknown:
            raise UsageError(f"there is no evaluation {unknown[0]!r}; there are: {', '.join(self.tasks)}")

    def arguments(self, values: Values) -> list[str]:
        """The command's."""
        found = ["eval", str(self.checkpoint), "--tasks", values["tasks"], "--json"]
        found += ["--weights", values["weights"], "--device", values["device"]]
        return [*found, *(["--data", os.path.expanduser(values["data"])] if values["data"] else [])]


def shown_scores(text: str) -> Table:
    """The scores that `nanochat eval --json` prints, as a table."""
    table = Table.grid(padding=(0, 3))
    for justify in ("left", "right", "left", "left"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_row(*(Text(head, "dim") for head in ("score", "value", "unit", "standard error")))
    for task, scores in json.loads(text).items():
        for name, score in scores.items():
            error = score.get("standard_error")
            value = Text(f"{score['value']:.4f}", "bold")
            table.add_row(Text(name), value, Text(score["unit"]), Text("-" if error is None else f"± {error:.4f}"))
            for baseline, known in score.get("baselines", {}).items():
                table.add_row(
                    Text(f"  {baseline}", "dim"), Text(f"{known:.4f}", "dim"), Text(score["unit"], "dim"), Text()
                )
        if not scores:
            table.add_row(Text(task), Text("-"), Text(), Text())
    return table
