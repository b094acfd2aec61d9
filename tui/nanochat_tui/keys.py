"""Every key of the dashboard, in one table: the footer, the help and the command palette are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """`where`: the screens that know it; `footer`: whether it is worth a place at the bottom."""

    key: str
    action: str
    label: str
    help: str
    where: tuple[str, ...]
    footer: bool = False

    @property
    def name(self) -> str:
        """What a person's keymap calls it: its action, with what is handed to it, or its key, where one action has several."""
        action, _, argument = self.action.partition("(")
        if not argument:
            return action
        word = argument.rstrip(")").strip("'\"")
        return f"{action}_{word if word.isidentifier() else self.key}"


RUNS, RUN, COMPARE, CHECKPOINTS = ("runs",), ("run",), ("compare",), ("checkpoints",)
CHAT, BROWSER = ("chat",), ("browser",)
BOTH = RUNS + RUN
CHARTS = RUN + COMPARE
ALL = BOTH + COMPARE + CHECKPOINTS + BROWSER
PICK, FORM = ("pick",), ("form",)

KEYS = (
    Key("enter", "open", "open", "open the run", RUNS, footer=True),
    Key(
        "slash",
        "search",
        "find",
        "runs: filter, e.g. lr>0.01 and state=running; log: a text; browser: what has all the words",
        BOTH + BROWSER,
        footer=True,
    ),
    Key("escape", "back", "back", "close what is open, clear the filter, go back to the runs", ALL),
    Key("p", "pause", "pause", "pause after the present step; go on if it is paused", BOTH, footer=True),
    Key("x", "stop", "stop", "checkpoint after the present step and end", BOTH, footer=True),
    Key("c", "checkpoint", "checkpoint", "write a checkpoint after the present step", BOTH + CHECKPOINTS),
    Key("e", "evaluate", "evaluate", "evaluate on held-out text after the present step", BOTH),
    Key(
        "equals_sign", "settings", "set", "change the learning rate's factor or an interval of a run that trains", BOTH
    ),
    Key("u", "resume", "resume", "go on with a run that stopped, failed or was lost", BOTH),
    Key("n", "new", "new run", "put a training together in a form, and start or queue it", RUNS, footer=True),
    Key("colon", "command", "command", "start a training by typing what follows `nanochat train`", RUNS),
    Key("k", "checkpoints", "checkpoints", "the run's checkpoints: keep, export, evaluate, remove", BOTH, footer=True),
    Key("k", "keep", "keep", "keep the checkpoint from being pruned, or no longer", CHECKPOINTS, footer=True),
    Key("E", "export", "export", "write the checkpoint as GGUF or in another format", CHECKPOINTS, footer=True),
    Key("e", "score", "evaluate", "score the checkpoint on held-out text and tasks", CHECKPOINTS, footer=True),
    Key("v", "verify", "verify", "compare the checksums of all checkpoints", CHECKPOINTS, footer=True),
    Key(
        "f",
        "fork",
        "fork",
        "a run that goes on from a checkpoint, with changed settings",
        BOTH + CHECKPOINTS,
        footer=True,
    ),
    Key("D", "remove", "remove", "remove the checkpoint (asks first)", CHECKPOINTS, footer=True),
    Key("space", "mark", "mark", "mark the run to be compared, or no longer", RUNS),
    Key("C", "compare", "compare", "compare the marked runs (2 to 7)", RUNS, footer=True),
    Key("s", "sort", "sort", "sort by the next column", RUNS, footer=True),
    Key("S", "reverse", "turn round", "turn the order round", RUNS),
    Key("g", "chat", "talk", "go on from texts or chat, with a checkpoint of the run or any model file", BOTH),
    Key("b", "browse", "browse", "components with their settings and laws; plugins, and what became of them", RUNS),
    Key("t", "tag", "tag", "add and remove tags", BOTH),
    Key("A", "alias", "alias", "give the run another name, by which every command finds it", BOTH),
    Key("D", "delete", "delete", "delete the run and everything in it (asks first)", RUNS),
    Key("1", "tab('charts')", "charts", "the charts", RUN),
    Key("2", "tab('log')", "log", "what the training said", RUN),
    Key("3", "tab('samples')", "samples", "texts that it wrote on the way", RUN),
    Key("4", "tab('events')", "events", "what happened to it, alerts among it", RUN),
    Key("5", "tab('system')", "system", "CPU, memory, disk, GPUs, and the alerts with their rules", RUN),
    Key("1", "tab('compare-charts-tab')", "charts", "the charts, a curve for each run", COMPARE),
    Key("2", "tab('differences')", "configuration", "keys of the configuration that differ", COMPARE),
    Key("3", "tab('finals')", "metrics", "the newest value of every metric; the best is marked", COMPARE),
    Key("4", "tab('texts')", "samples", "what the runs wrote after the same step to the same prompt", COMPARE),
    Key("6", "tab('panels')", "panels", "what plugins show of the run, where one has a panel", RUN),
    Key("n", "match(1)", "next", "log: to the next line with the text, among all lines", RUN),
    Key("N", "match(-1)", "previous", "log: to the previous one", RUN),
    Key("ampersand", "only_matches", "only these", "log: only lines with the text, or all", RUN),
    Key("F", "follow", "follow", "log: follow what is said, or stay", RUN),
    Key("left", "cursor(-1)", "cursor", "move the charts' cursor to the left", CHARTS),
    Key("right", "cursor(1)", "cursor", "move it to the right", CHARTS),
    Key("down", "scroll(1)", "down", "scroll the charts down", CHARTS),
    Key("up", "scroll(-1)", "up", "scroll them up", CHARTS),
    Key("plus", "zoom(0.5)", "closer", "see half as much, around the cursor", CHARTS),
    Key("minus", "zoom(2.0)", "farther", "see twice as much", CHARTS),
    Key("0", "everything", "all", "see everything, without a cursor", CHARTS),
    Key("a", "axis", "axis", "x axis: step, tokens, time", CHARTS, footer=True),
    Key("o", "smooth", "smooth", "smooth more, then not at all (factors 0.6, 0.9, 0.97, 0.99)", CHARTS, footer=True),
    Key(
        "l", "log_scale", "log", "logarithmic y axis for losses, gradient norm and learning rates", CHARTS, footer=True
    ),
    Key("m", "metrics", "metrics", "choose the metrics that have a chart", CHARTS, footer=True),
    Key("question_mark", "help", "help", "these keys", ALL + FORM, footer=True),
    Key("q", "quit", "quit", "leave; no training notices", ALL, footer=True),
    Key("enter", "send", "send", "send what is typed; where nothing is, go on from the last text", CHAT, footer=True),
    Key("ctrl+n", "new_line", "new line", "a new line in what is typed", CHAT, footer=True),
    Key("escape", "leave", "stop, back", "stop the present answer, else back (the model is let go)", CHAT, footer=True),
    Key("ctrl+t", "other_mode", "mode", "from going on from texts to chat, and back", CHAT, footer=True),
    Key(
        "ctrl+s",
        "sampling",
        "settings",
        "temperature, top-k and all else that says how text is drawn",
        CHAT,
        footer=True,
    ),
    Key("ctrl+r", "again", "again", "the last answer once more, with the next seed", CHAT, footer=True),
    Key("ctrl+o", "other_model", "model", "another checkpoint or model file; what was said stays", CHAT, footer=True),
    Key("ctrl+l", "anew", "anew", "begin anew", CHAT),
    Key("pageup", "page(-1)", "page up", "turn back a page of the talk", CHAT),
    Key("pagedown", "page(1)", "page down", "turn a page on", CHAT),
    Key("1", "what('components')", "components", "the components, by kind", BROWSER),
    Key("2", "what('plugins')", "plugins", "the plugins, and why one did not load", BROWSER),
    Key("f1", "keys", "help", "these keys", CHAT, footer=True),
    Key("enter", "change", "change", "change the setting; fold and unfold a section", FORM, footer=True),
    Key(
        "slash",
        "find",
        "find, add",
        "find a setting, or add one; add an optimizer, an objective, ...",
        FORM,
        footer=True,
    ),
    Key("r", "reset", "reset", "take back what was changed here; on a section, in all of it", FORM, footer=True),
    Key("d", "take_out", "remove", "take a member of a list out, like an optimizer", FORM),
    Key("e", "next_problem", "problem", "go to the next setting with a problem", FORM, footer=True),
    Key("s", "start", "start", "start it; it goes on when the dashboard is closed", FORM, footer=True),
    Key("Q", "queue", "queue", "let it begin when the runs of now on this machine have ended", FORM, footer=True),
    Key("v", "view", "view", "see the command and the file, to copy them", FORM, footer=True),
    Key("y", "copy", "copy", "copy the command to the terminal's clipboard (OSC 52)", FORM),
    Key("w", "write", "write", "write a TOML file that says the same", FORM),
    Key("escape", "back", "back", "undo what is being typed; leave the form (it is kept)", FORM, footer=True),
    Key("down", "move(1)", "down", "the next one", PICK),
    Key("up", "move(-1)", "up", "the one before", PICK),
    Key("enter", "take", "take", "begin there", PICK, footer=True),
    Key("escape", "back", "back", "to the runs", PICK, footer=True),
)


_chosen: dict[str, tuple[str, ...]] = {}


def choose(keys: Mapping[str, tuple[str, ...]]) -> None:
    """Have other keys than the table's, by the names of actions, from now on (checked by `keymap.checked`)."""
    _chosen.clear()
    _chosen.update(keys)


def keys_of(key: Key) -> tuple[str, ...]:
    """The keys of an action as they are now."""
    return _chosen.get(key.name, (key.key,))


def hint(name: str) -> str:
    """The key of an action by its name, as people write it, for texts that tell which key to press."""
    return shown(keys_of(next(key for key in KEYS if key.name == name))[0])


def bindings(where: str) -> list[BindingType]:
    """The table's part of one screen, as Textual takes it; by its id a binding gets the key that a person chose."""
    return [Binding(key.key, key.action, key.label, show=key.footer, id=key.name) for key in KEYS if where in key.where]


def help_rows(where: str) -> list[tuple[str, str]]:
    """The table's part of one screen, to be read: key and what it does."""
    rows = [(" ".join(map(shown, keys_of(key))), key.help) for key in KEYS if where in key.where]
    return [*rows, ("ctrl+p", "all of this by name, and the themes"), ("tab", "to the next part")]


def shown(key: str) -> str:
    """A key as people write it."""
    names = {
        "slash": "/",
        "ampersand": "&",
        "colon": ":",
        "question_mark": "?",
        "plus": "+",
        "minus": "-",
        "equals_sign": "=",
        "escape": "esc",
        "pageup": "page up",
        "pagedown": "page down",
        "left": "←",
        "right": "→",
        "up": "↑",
        "down": "↓",
    }
    return names.get(key, key)
