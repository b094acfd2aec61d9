"""What the dashboard remembers from one time to the next: the tab, the charts and how they are drawn, order and filter."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError
from nanochat_framework.machine.folders import state_folder
from nanochat_framework.runs.atomic import write_atomic
from nanochat_tui.charts.series import AXES, Axis
from nanochat_tui.charts.view import SMOOTHINGS

MOST_METRICS = 100


@dataclass(frozen=True)
class Layout:
    """How things are set, as they are to be found again."""

    tab: str = "charts"
    metrics: tuple[str, ...] = ()
    """Charts that were chosen beside the standard ones."""
    axis: Axis = "step"
    smoothing: float = 0.0
    log_scale: bool = False
    sort: str = ""
    """The column; empty: those that train first, then the newest."""
    reverse: bool = False
    filter: str = ""
    theme: str = ""
    """What was chosen in the dashboard; it holds until the settings name another theme than `theme_before`."""
    theme_before: str = ""


def layout_file() -> Path:
    """Where it is kept."""
    return state_folder() / "tui.json"


@dataclass
class Memory:
    """The layout of now; `remember` changes it, `save` writes it where it changed. Without a path nothing is kept."""

    path: Path | None = None
    layout: Layout = field(default_factory=Layout)
    note: str = ""
    """What was wrong with the file, if anything."""
    _saved: Layout | None = None

    @classmethod
    def read(cls, path: Path, *, fresh: bool = False) -> Memory:
        """What was kept. `fresh` begins without it; a file that is no layout is passed over with a note."""
        if fresh:
            return cls(path)
        try:
            layout = _layout(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            return cls(path, note=f"{path}: cannot be read ({error.strerror}); starting without it")
        except (ValueError, RecursionError):
            return cls(path, note=f"{path}: is damaged; starting without it")
        return cls(path, layout, _saved=layout)

    def remember(self, **facts: Any) -> None:
        """Change some of it."""
        self.layout = replace(self.layout, **facts)

    def save(self) -> str:
        """Write it if it changed; what went wrong, or an empty text. It is not tried again until it changes again."""
        if self.path is None or self.layout == self._saved:
            return ""
        self._saved = self.layout
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, json.dumps(asdict(self.layout), indent=1).encode() + b"\n", sync=False)
        except (OSError, NanochatError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).rpartition(": ")[2]
            return f"{self.path}: cannot be written ({reason}); the layout will not be remembered"
        return ""


def _layout(data: Any) -> Layout:
    """A layout from JSON. Raises ValueError for anything else; what it does not know is passed over."""
    if not isinstance(data, dict):
        raise ValueError("no object")
    known = {f.name: data[f.name] for f in fields(Layout) if f.name in data}
    metrics = known.get("metrics", [])
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in metrics):
        raise ValueError("metrics")
    known["metrics"] = tuple(metrics[:MOST_METRICS])
    smoothing = known.get("smoothing", 0.0)
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not math.isfinite(smoothing):
        raise ValueError("smoothing")
    known["smoothing"] = min(SMOOTHINGS, key=lambda each: abs(each - smoothing))
    if known.get("axis", "step") not in AXES:
        raise ValueError("axis")
    for kind, names in ((bool, ("log_scale", "reverse")), (str, ("tab", "sort", "filter", "theme", "theme_before"))):
        if not all(isinstance(known.get(name, kind()), kind) for name in names):
            raise ValueError(f"one of {names}")
    return Layout(**known)
