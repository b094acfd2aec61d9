"""HTML from plain values: whatever is not `Html` already is text, and text is escaped. There is no other way in."""

from __future__ import annotations

import html
import re
from typing import Any

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters, lone surrogates and characters that no HTML may hold."""
_VOID = {"meta", "line", "path", "circle", "br", "hr", "col"}


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def text(value: Any) -> Html:
    """A value as text; characters that HTML cannot hold are shown as a replacement character."""
    return value if isinstance(value, Html) else Html(html.escape(_UNPRINTABLE.sub("\ufffd", str(value)), quote=True))


def tag(name: str, /, *content: Any, **attributes: Any) -> Html:
    """An element. `class_` is `class`, other underscores are hyphens; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-") if key != "viewBox" else key}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(text(part) for part in content)
    if name in _VOID and not inner:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{inner}</{name}>")


def join(*parts: Any) -> Html:
    """Parts one after another."""
    return Html("".join(text(part) for part in parts))
