"""Where each key of a TOML text stands: path -> line number, for error messages.

TOML readers give no positions. This scanner follows `[table]`, `[[array]]` and `key =` lines and skips over strings and
brackets; keys inside an inline table have the line of the key that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=(.*)$", re.DOTALL)
_PART = re.compile(_KEY)


def dotted(path: Path) -> str:
    """`optimizer.0.lr`, as `--set` takes it."""
    return ".".join(map(str, path))


def key_lines(text: str) -> dict[Path, int]:
    """Line (from 1) of every table and key; paths name keys by text and members of arrays of tables by number."""
    lines: dict[Path, int] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    open_value = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if open_value:
            open_value = _continue(open_value, line)
            continue
        header = _HEADER.match(line)
        if header:
            table = _enter(header.group(2), header.group(1) == "[[", arrays)
            _note(lines, table, number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            _note(lines, (*table, *_parts(assignment.group(1))), number)
            open_value = _continue("", assignment.group(2))
    return lines


def line_of(lines: Mapping[Path, int], path: Sequence[str | int]) -> int | None:
    """Line of a path, or of the nearest part of it that has one."""
    found = tuple(path)
    while found and found not in lines:
        found = found[:-1]
    return lines.get(found)


def _note(lines: dict[Path, int], path: Path, number: int) -> None:
    """Note the line of a path, and of the tables around it that it is the first to name."""
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], number)


def _parts(dotted: str) -> list[str]:
    return [_unquote(part) for part in _PART.findall(dotted)]


def _unquote(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        import tomli

        return str(tomli.loads(f"k = {part}")["k"])
    return part


def _enter(dotted: str, is_array: bool, arrays: dict[Path, int]) -> Path:
    """The path of a table header; a name that is an array of tables means its newest member."""
    path: Path = ()
    parts = _parts(dotted)
    for position, part in enumerate(parts):
        path = (*path, part)
        if is_array and position == len(parts) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path


def _continue(opened: str, text: str) -> str:
    """What is still open after more text: a stack of brackets, on top perhaps a multi-line string's quotes."""
    stack, position = list(_unstack(opened)), 0
    while position < len(text):
        if stack and stack[-1] in ('"""', "'''"):
            end = text.find(stack[-1], position)
            while end > 0 and stack[-1] == '"""' and _escaped(text, end):
                end = text.find(stack[-1], end + 1)
            if end < 0:
                break
            position = end + 3
            while position < len(text) and text[position] == stack[-1][0]:
                position += 1  # up to two quotes may stand before the closing three
            stack.pop()
            continue
        character = text[position]
        if character == "#":
            break
        if text[position : position + 3] in ('"""', "'''"):
            stack.append(text[position : position + 3])
            position += 3
            continue
        if character in "\"'":
            position = _string_end(text, position)
            continue
        if character in "[{":
            stack.append(character)
        elif character in "]}" and stack:
            stack.pop()
        position += 1
    return "".join(stack)


def _unstack(opened: str) -> list[str]:
    return re.findall(r"\"\"\"|'''|[\[{]", opened)


def _escaped(text: str, position: int) -> bool:
    backslashes = len(text[:position]) - len(text[:position].rstrip("\\"))
    return backslashes % 2 == 1


def _string_end(text: str, start: int) -> int:
    quote, position = text[start], start + 1
    while position < len(text) and text[position] != quote:
        position += 2 if text[position] == "\\" and quote == '"' else 1
    return position + 1
