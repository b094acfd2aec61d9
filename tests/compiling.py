"""Whether torch.compile can be tested here."""

from __future__ import annotations

import pytest

from nanochat_framework.machine.compiler import compiling_problem

needs_compiler = pytest.mark.skipif(compiling_problem() is not None, reason=str(compiling_problem()))
