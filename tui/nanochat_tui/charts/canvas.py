"""Lines in braille: every character cell is two dots wide and four high."""

from __future__ import annotations

_LEFT, _RIGHT = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)


def _character(dots: int) -> str:
    """The braille sign of a byte: its high half is the left column, the low half the right one, bit 0 on top."""
    bits = sum(_LEFT[row] for row in range(4) if dots >> (4 + row) & 1)
    bits += sum(_RIGHT[row] for row in range(4) if dots >> row & 1)
    return chr(0x2800 + bits) if bits else " "


CHARACTERS = [_character(dots) for dots in range(256)]


DASHES = ("1", "11111000", "1000", "1111110010", "10", "111100", "11000000")
"""Which columns of dots a line has, over and over, where lines are told apart without colours; by the curve's number."""


class Canvas:
    """`width` x `height` cells; dots are addressed from the top left. What lies outside is left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.columns = [0] * (2 * self.width)
        """One integer a column of dots: bit y is the dot in row y."""

    def vertical(self, x: int, top: int, bottom: int) -> None:
        """Dots of column x from row `top` to row `bottom`, both included."""
        top, bottom = max(top, 0), min(bottom, 4 * self.height - 1)
        if 0 <= x < len(self.columns) and top <= bottom:
            self.columns[x] |= ((1 << (bottom - top + 1)) - 1) << top

    def line(self, x0: int, y0: float, x1: int, y1: float) -> None:
        """A line between two dots, x0 <= x1: in each column the rows that it passes."""
        if x1 <= x0:
            self.vertical(x0, round(min(y0, y1)), round(max(y0, y1)))
            return
        if x1 == x0 + 1:  # neighbours, as most are: half of the way in each column
            middle = (y0 + y1) / 2
            self.vertical(x0, round(min(y0, middle)), round(max(y0, middle)))
            self.vertical(x1, round(min(middle, y1)), round(max(middle, y1)))
            return
        slope = (y1 - y0) / (x1 - x0)
        for x in range(max(x0, 0), min(x1, len(self.columns) - 1) + 1):
            here = y0 + slope * (max(x - 0.5, x0) - x0)
            there = y0 + slope * (min(x + 0.5, x1) - x0)
            self.vertical(x, round(min(here, there)), round(max(here, there)))

    def dash(self, pattern: str) -> None:
        """Keep only the columns whose place in the pattern, again and again, is a 1."""
        for x in range(len(self.columns)):
            if pattern[x % len(pattern)] == "0":
                self.columns[x] = 0

    def rows(self) -> list[bytearray]:
        """A byte a cell, see `CHARACTERS`, row by row; work is done for cells with dots only."""
        rows = [bytearray(self.width) for _ in range(self.height)]
        for x, dots in enumerate(self.columns):
            cell, shift = x >> 1, 0 if x & 1 else 4
            row = 0
            while dots:
                empty = ((dots & -dots).bit_length() - 1) >> 2
                row, dots = row + empty, dots >> 4 * empty
                rows[row][cell] |= (dots & 15) << shift
                row, dots = row + 1, dots >> 4
        return rows
