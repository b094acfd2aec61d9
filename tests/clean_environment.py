"""What is installed here, without this repository: for tests of what a stranger has after installing a wheel."""

from __future__ import annotations

import sys
from pathlib import Path


def third_party_packages(folder: Path) -> None:
    """Make a folder of links to every installed package but ours and editable ones."""
    folder.mkdir()
    for place in (Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")):
        for entry in place.iterdir():
            link = folder / entry.name
            if "nanochat" not in entry.name and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)
