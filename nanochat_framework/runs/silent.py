"""Logs that write nothing, for the processes of a run that are not its first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanochat_framework.runs.events import EventLog, Kind
from nanochat_framework.runs.metrics import MetricsLog


class SilentEvents(EventLog):
    """Takes events and lets them go."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt

    def write(self, kind: Kind, **facts: Any) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class SilentMetrics(MetricsLog):
    """Takes records and lets them go."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt

    def write(self, *, step: int, tokens: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
