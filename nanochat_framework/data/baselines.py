"""What general compressors reach on the same bytes: a yardstick that needs no download."""

from __future__ import annotations

import gzip
import lzma


def compressor_baselines(data: bytes) -> dict[str, float]:
    """Bits per byte of `gzip -9` and `xz -9e` on data as one piece; empty for no data."""
    if not data:
        return {}
    sizes = {
        "gzip -9": len(gzip.compress(data, 9, mtime=0)),
        "xz -9e": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }
    return {name: 8 * size / len(data) for name, size in sizes.items()}
