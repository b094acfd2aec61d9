"""What runs wrote to the same prompt, side by side where there is room, else below each other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from nanochat_framework.runs.jsonlines import Record
from nanochat_tui.compare.joint import Compared
from nanochat_tui.printable import printable

LEAST_WIDTH = 24
"""Of a column of text; below it they stand below each other."""


def side_by_side(runs: Sequence[Compared], width: int) -> Group | Text:
    """The texts of each prompt that any run has, after the last step after which all that have it wrote one."""
    written = [_by_prompt(run.feed.samples) for run in runs]
    prompts = list(dict.fromkeys(prompt for texts in written for prompt in texts))
    if not prompts:
        return Text("No samples. [sample] in a configuration asks for them.")
    parts: list[Text | Table] = []
    for prompt in prompts:
        step = last_common_step([texts[prompt] for texts in written if prompt in texts])
        when = "no step in common: the newest of each" if step is None else f"step {step:,}"
        parts.append(Text.assemble((prompt.rstrip() or "(empty prompt)", "bold"), (f"   {when}", "dim")))
        cells = [_cell(run, texts.get(prompt, {}), step) for run, texts in zip(runs, written, strict=True)]
        parts += [_columns(cells) if width // len(runs) >= LEAST_WIDTH else _rows(cells), Text()]
    return Group(*parts)


def last_common_step(texts: Sequence[dict[int, str]]) -> int | None:
    """The last step at which all of them have a text."""
    return max(set.intersection(*map(set, texts)), default=None) if texts else None


def _by_prompt(samples: Sequence[Record]) -> dict[str, dict[int, str]]:
    """Prompt -> step -> text; of two attempts at a step the later one."""
    found: dict[str, dict[int, str]] = {}
    for sample in samples:
        step = sample.get("step")
        if isinstance(step, int):
            prompt, text = (printable(str(sample.get(key, ""))) for key in ("prompt", "text"))
            found.setdefault(prompt, {})[step] = text
    return found


def _cell(run: Compared, texts: dict[int, str], step: int | None) -> tuple[Text, Text]:
    """Who wrote it, and the text."""
    at = max(texts, default=None) if step is None else step
    who = Text(f"{run.sign} {run.feed.summary.called}", style=run.colour)
    if step is None and at is not None:
        who.append(f"  step {at:,}", "dim")
    return who, Text(texts.get(at, "-") if at is not None else "-")


def _columns(cells: Sequence[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in cells:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(who for who, _ in cells))
    table.add_row(*(text for _, text in cells))
    return table


def _rows(cells: Sequence[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 0, 0, 2), expand=True)
    table.add_column(overflow="fold")
    for who, text in cells:
        table.add_row(who)
        table.add_row(text)
    return table
