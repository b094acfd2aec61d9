"""The laws of panels hold for a good one, and each bad one is caught by its own."""

from __future__ import annotations

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.testing import BrokenContract, check_panels
from tests.plugins.place import Place

PLUGIN = """
    import time
    from nanochat_framework.plugins import Panel, hookimpl

    NANOCHAT_PLUGIN_API = 1

    def show(folder):
        {body}

    @hookimpl
    def nanochat_panels():
        return [Panel("{name}", "{title}", show)]
"""


def check(place: Place, monkeypatch: pytest.MonkeyPatch, plugin: str) -> None:
    monkeypatch.setenv("PYTHONPATH", str(place.folder))
    check_panels(plugin)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"name": "told"}, "vendor/name"),
        ({"title": "x" * 61}, "at most 60 characters"),
        (
            {"body": "return (folder / 'metrics.jsonl').read_text().splitlines()"},
            "has just begun: it raised FileNotFoundError",
        ),
        ({"body": "import torch; return []"}, "must not import torch"),
        ({"body": "return ['a\\x1b[2J']"}, "without control characters"),
        ({"body": "return ['x'] * 2000"}, "more than 1000 lines"),
        ({"body": "(folder / 'mine').write_text('x'); return []"}, "a panel only reads"),
    ],
)
def test_each_law(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], expected: str
) -> None:
    place = Place(tmp_path_factory.mktemp("law"))
    facts = {"name": "acme/told", "title": "Told", "body": "return [folder.name]", **change}
    source = PLUGIN
    for key, value in facts.items():
        source = source.replace(f"{{{key}}}", value)
    place.install("told", __init__=source)
    if not expected:
        check(place, monkeypatch, "told")
        check(place, monkeypatch, "plugin-told")
        return
    with pytest.raises(BrokenContract, match=expected):
        check(place, monkeypatch, "told")


def test_there_must_be_one(tmp_path: object) -> None:
    with pytest.raises(UsageError, match="no panel of 'optimizers'"):
        check_panels("optimizers")
