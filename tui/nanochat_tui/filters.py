"""The language that runs are looked for in: `lr>0.01 and state=running`, `(tag=good or eval_loss<2.9) and not ternary`.

A comparison is FIELD OP VALUE with = != < <= > >= and ~ (contains), !~; a word alone is looked for in names, aliases and tags.
FIELD is a column, or a key of the configuration: all of it (`optimizer.0.lr`) or its last part (`lr`, whichever
optimizer's). Where a field has several values, one that fits is enough. `and` may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nanochat_framework.errors import UsageError

Lookup = Callable[[str], Sequence[Any]]
"""The values that a run has under a field's name; none where it has no such field."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<operator><=|>=|!=|!~|=|<|>|~)|(?P<bracket>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()=<>!~"]+))"""
)
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(k|M|G|s|m|h|d)?\Z", re.IGNORECASE)
_FACTORS = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "g": 1e9, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Word:
    """Somewhere in the name, the alias or a tag."""

    text: str

    def fits(self, lookup: Lookup) -> bool:
        """Whether a run is meant."""
        return any(
            self.text.lower() in str(value).lower() for field in ("name", "alias", "tag") for value in lookup(field)
        )

    def __str__(self) -> str:
        return f'"{self.text}"'


@dataclass(frozen=True)
class Comparison:
    """A field against a value."""

    field: str
    operator: str
    value: str

    def fits(self, lookup: Lookup) -> bool:
        """Whether a run is meant; with != and !~, whether none of its values is equal, or contains the text."""
        values = lookup(self.field)
        if self.operator.startswith("!"):
            return not any(_holds(value, self.operator[1:], self.value) for value in values)
        return any(_holds(value, self.operator, self.value) for value in values)

    def __str__(self) -> str:
        return f'{self.field}{self.operator}"{self.value}"'


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Filter

    def fits(self, lookup: Lookup) -> bool:
        """Whether a run is meant."""
        return not self.part.fits(lookup)

    def __str__(self) -> str:
        return f"not {self.part}"


@dataclass(frozen=True)
class Both:
    """Two conditions at once, or (`either`) at least one of two."""

    left: Filter
    right: Filter
    either: bool = False

    def fits(self, lookup: Lookup) -> bool:
        """Whether a run is meant."""
        if self.either:
            return self.left.fits(lookup) or self.right.fits(lookup)
        return self.left.fits(lookup) and self.right.fits(lookup)

    def __str__(self) -> str:
        return f"({self.left} {'or' if self.either else 'and'} {self.right})"


Filter = Word | Comparison | Not | Both


def number(text: str) -> float | None:
    """`0.01`, `3e-4`, `12k`, `2h` (seconds); None for what is no number."""
    found = _NUMBER.match(text)
    if not found:
        return None
    unit = found[2]
    return float(found[1]) * (_FACTORS.get(unit) or _FACTORS[unit.lower()] if unit else 1.0)


def _holds(value: Any, operator: str, wanted: str) -> bool:
    if operator == "~":
        return wanted.lower() in str(value).lower()
    target = number(wanted)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if operator == "=":
        return value == target if numeric and target is not None else str(value).lower() == wanted.lower()
    if not numeric or target is None:
        return False
    return bool({"<": value < target, "<=": value <= target, ">": value > target, ">=": value >= target}[operator])


def parse(text: str) -> Filter | None:
    """The filter that a text says; None for an empty one. Raises UsageError with one line that says where it is wrong."""
    tokens = _tokens(text)
    return _Parser(text, tokens).everything() if tokens else None


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    begin: int
    end: int


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found:
            rest = text[place:].strip()
            what = 'a " that is not closed' if rest.startswith('"') else f"{rest[0]!r} means nothing here"
            raise UsageError(f"filter: {what} (after {text[:place].strip()!r})")
        kind = str(found.lastgroup)
        tokens.append(_Token(kind, found[kind], found.start(), found.end()))
        place = found.end()
    return tokens


class _Parser:
    """Recursive descent: or, and, not, brackets."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text, self.tokens, self.place, self.depth = text, tokens, 0, 0

    def everything(self) -> Filter:
        found = self._either()
        if self.place < len(self.tokens):
            raise self._error("one ) too many")
        return found

    def _next(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _keyword(self, word: str) -> bool:
        token = self._next()
        follower = self.tokens[self.place + 1] if self.place + 1 < len(self.tokens) else None
        compared = follower is not None and follower.kind == "operator"
        if token is None or token.kind != "word" or token.text.lower() != word or compared:
            return False
        self.place += 1
        return True

    def _error(self, message: str) -> UsageError:
        before = self.text[: self.tokens[self.place - 1].end].strip() if self.place else ""
        return UsageError(f"filter: {message}" + (f" (after {before!r})" if before else ""))

    def _either(self) -> Filter:
        found = self._all()
        while self._keyword("or"):
            found = Both(found, self._all(), either=True)
        return found

    def _all(self) -> Filter:
        found = self._one()
        while (token := self._next()) is not None and token.text != ")" and not self._at_or():
            self._keyword("and")
            found = Both(found, self._one())
        return found

    def _at_or(self) -> bool:
        here = self.place
        found = self._keyword("or")
        self.place = here
        return found

    def _one(self) -> Filter:
        if self.depth > 50:
            raise self._error("too deep")
        self.depth += 1
        try:
            return Not(self._one()) if self._keyword("not") else self._primary()
        finally:
            self.depth -= 1

    def _primary(self) -> Filter:
        token = self._next()
        if token is None:
            raise self._error("a condition is missing at the end")
        if token.kind == "operator":
            raise self._error(f"a field is missing before {token.text}")
        if (token.kind, token.text) == ("bracket", ")"):
            raise self._error("a condition is missing before )")
        self.place += 1
        if token.kind == "bracket":
            found = self._either()
            closing = self._next()
            if closing is None:
                raise self._error("a ) is missing")
            self.place += 1
            return found
        operator = self._next()
        if token.kind == "quoted" or operator is None or operator.kind != "operator":
            if token.kind == "word" and token.text.lower() in ("and", "or", "not"):
                raise self._error(f"a condition is missing beside {token.text}")
            return Word(token.text)
        self.place += 1
        value = self._next()
        if value is None or value.kind not in ("word", "quoted"):
            raise self._error("a value is missing")
        if operator.text in ("<", "<=", ">", ">=") and number(value.text) is None:
            raise self._error(f"{operator.text} needs a number, not {value.text!r}")
        self.place += 1
        return Comparison(token.text, operator.text, value.text)
