"""The C++ compiler that torch.compile uses for the CPU."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution

_QUOTES_SINCE = (2, 15)
"""The torch that writes folders into the linker's command so that they may have spaces; 2.11 to 2.13 do not."""


def cpp_compiler() -> str | None:
    """Path of the compiler: `CXX`, or g++, or clang++; None where there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))), None)


def compiling_problem() -> str | None:
    """Why torch.compile cannot work on the CPU here, in a line; None where nothing speaks against it. Imports no torch."""
    if cpp_compiler() is None:
        return "compiling for the CPU needs a C++ compiler (g++ or clang++), and none is here"
    try:
        torch = distribution("torch")
    except PackageNotFoundError:
        return None
    folder, found = str(torch.locate_file("torch")), tuple(map(int, re.findall(r"\d+", torch.version)[:2]))
    if not re.search(r"\s", folder) or found >= _QUOTES_SINCE:
        return None
    return (
        f"torch {torch.version} cannot compile for the CPU from a folder with a space in its path ({folder}); make the "
        f"environment in another folder, or take torch {'.'.join(map(str, _QUOTES_SINCE))}"
    )
