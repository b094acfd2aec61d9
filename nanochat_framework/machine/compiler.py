"""The C++ compiler that torch.compile uses for the CPU."""

from __future__ import annotations

import os
import shutil


def cpp_compiler() -> str | None:
    """Path of the compiler: `CXX`, or g++, or clang++; None where there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))), None)
