"""A configuration in a module that computes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from nanochat_framework.config.component import ComponentConfig


class Heavy(ComponentConfig):
    """Needs torch to be read."""

    threads: ClassVar[Any] = torch.get_num_threads
