"""Pixels and a PNG of them (PNG specification, third edition), without an image library."""

from __future__ import annotations

import struct
import zlib

Colour = tuple[int, int, int]

_GLYPHS = {
    "0": "0e11131519110e", "1": "040c040404040e", "2": "0e11010204081f", "3": "1f02040201110e",
    "4": "02060a121f0202", "5": "1f101e0101110e", "6": "0608101e11110e", "7": "1f010204080808",
    "8": "0e11110e11110e", "9": "0e11110f01020c", ".": "00000000000c0c", "-": "0000001f000000",
    "+": "0004041f040400", "%": "18190204081303", " ": "00000000000000", "/": "00010204081000",
    ":": "000c0c000c0c00", "_": "0000000000001f",
    "a": "00000e010f110f", "b": "1010161911111e", "c": "00000e1010110e", "d": "01010d1311110f",
    "e": "00000e111f100e", "f": "0609081c080808", "g": "000f11110f010e", "h": "10101619111111",
    "i": "04000c0404040e", "j": "0200060202120c", "k": "10101214181412", "l": "0c04040404040e",
    "m": "00001a15151111", "n": "00001619111111", "o": "00000e1111110e", "p": "00001e111e1010",
    "q": "00000d130f0101", "r": "00001619101010", "s": "00000e100e011e", "t": "08081c08080906",
    "u": "0000111111130d", "v": "00001111110a04", "w": "0000111115150a", "x": "0000110a040a11",
    "y": "000011110f010e", "z": "00001f0204081f",
}  # fmt: skip
"""Seven rows of five pixels a character, one byte a row, drawn for this module."""

GLYPH_WIDTH, GLYPH_HEIGHT = 6, 8


class Canvas:
    """A white RGB picture; (0, 0) is the top left pixel. What falls outside is not drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._pixels = bytearray(b"\xff" * (3 * width * height))

    def dot(self, x: int, y: int, colour: Colour) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            start = 3 * (y * self.width + x)
            self._pixels[start : start + 3] = bytes(colour)

    def box(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        for row in range(y, y + height):
            for column in range(x, x + width):
                self.dot(column, row, colour)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """Two pixels wide."""
        (x0, y0), (x1, y1) = start, end
        steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0))))
        for step in range(steps + 1):
            x = round(x0 + (x1 - x0) * step / steps)
            y = round(y0 + (y1 - y0) * step / steps)
            self.box(x, y, 2, 2, colour)

    def text(self, x: int, y: int, text: str, colour: Colour, scale: int = 2) -> None:
        """``text`` from (x, y) down and to the right; characters without a glyph stay blank."""
        for character in text.lower():
            rows = bytes.fromhex(_GLYPHS.get(character, _GLYPHS[" "]))
            for row, bits in enumerate(rows):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        self.box(x + column * scale, y + row * scale, scale, scale, colour)
            x += GLYPH_WIDTH * scale

    def png(self) -> bytes:
        stride = 3 * self.width
        rows = b"".join(
            b"\0" + self._pixels[start : start + stride]
            for start in range(0, len(self._pixels), stride)
        )
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + _chunk(b"IHDR", header)
            + _chunk(b"IDAT", zlib.compress(rows, 9))
            + _chunk(b"IEND", b"")
        )


def text_width(text: str, scale: int = 2) -> int:
    return len(text) * GLYPH_WIDTH * scale


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
