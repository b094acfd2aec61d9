"""Whatever a text holds, the terminal gets characters that it shows and nothing that it obeys."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from nanochat_tui.printable import printable


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    kept = {unicodedata.category(c) for c in shown if c not in "\n\u200c\u200d"}
    assert not kept & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()
    assert shown.count("\n") == text.replace("\r\n", "\n").count("\n")


def test_what_is_shown_in_its_place() -> None:
    assert printable("a\x1b[2Jb\x07") == "a␛[2Jb␇"
    assert printable("x\ty\r\nz\rw\x7f") == "x   y\nz␍w␡"
    assert printable("\u202eabc\ud800\x85\u2028") == "\ufffdabc\ufffd\ufffd\ufffd"
    assert printable("größer 日本 👩\u200d💻") == "größer 日本 👩\u200d💻"
