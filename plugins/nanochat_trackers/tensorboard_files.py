"""Event files for TensorBoard, one for each attempt, written with TensorBoard's own classes and without torch.

An attempt's file begins with a session start at the step after the one it goes on from; TensorBoard's reader then
forgets what earlier files have from that step on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.metrics import KEYS
from nanochat_framework.runs.process import host_name
from nanochat_trackers.config import TensorBoardConfig

SHOWN_EVENTS = ("alert", "skipped_step", "stopped", "finished", "failed")


class TensorBoardTracker(Tracker):
    """Scalars by metric name; texts under `samples/<prompt>`, `events` and `configuration`."""

    def __init__(self, config: TensorBoardConfig) -> None:
        self.config = config
        self._writer: Any = None
        self._step = 0

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        """Begin a file."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.folder / self.config.folder
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{host_name()}.{run.attempt:04d}"
        self._step = run.rewound_to
        self._writer = RecordWriter((folder / name).open("ab"))
        self._write(time.time(), file_version="brain.Event:2")
        self._write(time.time(), step=run.rewound_to + 1, session_log=SessionLog(status=SessionLog.START))
        self._text("configuration", _code(json.dumps(config, indent=1)), self._step, time.time())
        self._writer.flush()

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        """A scalar for each metric."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._step = step
        values = [Summary.Value(tag=key, simple_value=value) for key, value in record.items() if key not in KEYS]
        self._write(record["time"], step=step, summary=Summary(value=values))
        self._writer.flush()

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """A text for each prompt."""
        for sample in samples:
            text = _code(sample["prompt"] + sample["text"])
            self._text(f"samples/{sample['prompt_index'] + 1}", text, step, time.time())
        self._writer.flush()

    def event(self, event: Mapping[str, Any]) -> None:
        """A text for events that a person would look for."""
        if event["kind"] in SHOWN_EVENTS:
            facts = {key: value for key, value in event.items() if key not in ("time", "attempt", "kind")}
            text = f"{event['kind']}\n\n{_code(json.dumps(facts, indent=1, default=str))}"
            self._text("events", text, event.get("step", self._step), event["time"])
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _text(self, tag: str, markdown: str, step: int, wall_time: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        content = markdown.encode("utf-8", "replace")
        tensor = TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=shape)
        value = Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)
        self._write(wall_time, step=step, summary=Summary(value=[value]))

    def _write(self, wall_time: float, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=wall_time, **content).SerializeToString())


def _code(text: str) -> str:
    """Text as a block of code in Markdown, whatever it holds."""
    return "".join(f"    {line}\n" for line in text.splitlines() or [""])


def build_tensorboard(config: TensorBoardConfig) -> TensorBoardTracker:
    """Event files. Raises UsageError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError(
            "tracker tensorboard needs the extra `tensorboard`: pip install 'nanochat-framework[tensorboard]'"
        )
    return TensorBoardTracker(config)
