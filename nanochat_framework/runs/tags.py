"""tags.json: words that people give to runs. Apart from run.json, which is written once and says how the run came to be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.atomic import write_atomic
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.lock import hold_soon

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=:/@-]{0,63}\Z")


def read_tags(run: RunDirectory) -> tuple[str, ...]:
    """A run's tags in order; none where there is no readable tags.json."""
    try:
        tags = json.loads(run.tags.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(sorted({tag for tag in tags if isinstance(tag, str)})) if isinstance(tags, list) else ()


def change_tags(run: RunDirectory, add: Iterable[str] = (), remove: Iterable[str] = ()) -> tuple[str, ...]:
    """Add and remove tags, also while others do; returns what there is then.

    Raises UsageError for a word that can be no tag, for one to remove that the run does not have, and if the folder cannot be
    written.
    """
    adding, removing = set(add), set(remove)
    for tag in adding:
        if not _TAG.match(tag):
            raise UsageError(
                f"{tag!r}: not a tag; use up to 64 letters, digits and . _ + = : / @ -, beginning with a letter or digit"
            )
    try:
        with hold_soon(run.path / ".tags.lock", doing="changing its tags"):
            tags = set(read_tags(run))
            missing = sorted(removing - tags)
            if missing:
                raise UsageError(f"{run.name} has no tag {missing[0]!r}; it has {', '.join(sorted(tags)) or 'none'}")
            changed = sorted((tags - removing) | adding)
            write_atomic(run.tags, json.dumps(changed).encode() + b"\n")
            return tuple(changed)
    except OSError as error:
        raise UsageError(f"{run.tags}: cannot be written ({error.strerror})") from None
