"""Exporting a checkpoint: which formats there are, the form of one, and the command."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.text import Text

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.removal import folder_size
from nanochat_tui.charts.ticks import short
from nanochat_tui.commands import ask
from nanochat_tui.forms import Field, Form, Values
from nanochat_tui.work import Work

OUTPUT, CHECK, WEIGHTS, DATA = "output", "check", "weights", "data"
_OURS = (OUTPUT, CHECK, WEIGHTS, DATA)


async def exporters() -> dict[str, str]:
    """Name -> summary of every registered exporter. Raises NanochatError."""
    return {each["name"]: each["summary"] for each in await ask("components", "list", "exporter", "--json")}


async def export_form(run: str, checkpoint: Path, exporter: str) -> ExportForm:
    """The form of an exporter, from what it says of its options. Raises NanochatError."""
    described = await ask("components", "show", "exporter", exporter, "--json")
    return ExportForm(run, checkpoint, exporter, described["fields"])


class ExportForm(Form):
    """Where to write, the exporter's own options, and whether to read it back."""

    def __init__(
        self,
        run: str,
        checkpoint: Path,
        exporter: str,
        options: list[dict[str, Any]],
        filled_in: Values | None = None,
    ) -> None:
        """`options` as `components show --json` describes them; `filled_in`: what stood in the form before."""
        self.run_name, self.checkpoint, self.exporter, self.options = run, checkpoint, exporter, options
        self._replace: str | None = None
        output = f"{run}-{checkpoint.name}.{exporter}"
        fields = [
            Field(OUTPUT, f"File or folder to write, from {Path.cwd()}", output),
            *(_option(each) for each in options),
            Field(CHECK, "Read it back and compare it with the model: codes, scales, logits", "yes", ("yes", "no")),
            Field(
                DATA, "Data folder for bits per byte with the check; empty: the trained one", shown="the trained one"
            ),
            Field(
                WEIGHTS,
                "The trained weights, or their average where train.ema_decay kept one",
                "trained",
                ("trained", "ema"),
            ),
        ]
        self._as_they_are = {field.key: field.value for field in fields}
        shown = [replace(field, value=(filled_in or {}).get(field.key, field.value)) for field in fields]
        super().__init__(f"Export {checkpoint.name} of {run} to {exporter}", shown, does="export", check=self._checked)

    def again(self, values: Values) -> ExportForm:
        """The same form with what was filled in."""
        return ExportForm(self.run_name, self.checkpoint, self.exporter, self.options, values)

    async def _checked(self, values: Values) -> None:
        """Raises UsageError for a path that is missing, or that is taken and not yet confirmed."""
        output = os.path.expanduser(values[OUTPUT])
        if not output:
            raise UsageError("output: a path is missing")
        if os.path.lexists(output) and self._replace != output:
            self._replace = output
            raise UsageError(f"{output} is there already; enter again replaces it")

    def arguments(self, values: Values) -> list[str]:
        """The command's; options that were left as they are are not named, for some must not be where they do nothing."""
        chosen = {key: value for key, value in values.items() if key not in _OURS and value != self._as_they_are[key]}
        given = [f"{key}={value}" for key, value in chosen.items() if value not in ("", _ABSENT)]
        found = ["export", str(self.checkpoint), "--to", self.exporter]
        found += ["--output", os.path.expanduser(values[OUTPUT])]
        found += ["--weights", values[WEIGHTS], *(word for option in given for word in ("--option", option))]
        if values[CHECK] == "yes":
            found += ["--check", *(["--data", os.path.expanduser(values[DATA])] if values[DATA] else [])]
        return found

    def work(self, values: Values) -> Work:
        """The export in a window; what came of it begins with the size."""
        output = Path(os.path.expanduser(values[OUTPUT]))

        def shown(said: str) -> Text:
            size = folder_size(output) if output.is_dir() else output.stat().st_size
            return Text.assemble((f"{output}  {short(size)}B  ({size:,} bytes)\n\n", "bold"), said)

        return Work(
            f"Export {self.checkpoint.name} of {self.run_name} to {self.exporter}", self.arguments(values), shown
        )


_ABSENT = "absent"


def _option(described: dict[str, Any]) -> Field:
    """A field of the form, as `components show` describes an option."""
    choices = tuple(map(str, described.get("choices") or ()))
    default = str(described["default"])
    plain = default.strip('"')
    about = f"{described['description']} ({described['type']}; default {default})"
    if choices:
        absent = () if plain in choices else (_ABSENT,)
        return Field(described["name"], about, plain if plain in choices else _ABSENT, (*absent, *choices))
    return Field(described["name"], about, shown=default)
