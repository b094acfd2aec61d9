"""GaLore against the paper's equations in float64, and against AdamW where nothing is left out."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.errors import UsageError
from tests.optimizers.support import build, named, random_tensors, train, values

SHAPES = {"wide": (12, 40), "tall": (40, 12), "square": (16, 16)}


@pytest.mark.parametrize("rank", [4, 100])
def test_the_papers_equations(rank: int) -> None:
    """Algorithm 2 of arXiv 2403.03507 with decoupled decay; directions chosen at steps 1, 4 and 7."""
    start = random_tensors(SHAPES, seed=0)
    parameters = named(start)
    settings = {"lr": 0.01, "weight_decay": 0.1, "rank": rank, "refresh_every": 3}
    train(*build("galore", parameters, **settings), range(1, 9), lr_falls=True)
    for name, weight in start.items():
        w = weight.double()
        m = v = torch.zeros(()).double()
        for t in range(1, 9):
            g = random_tensors(SHAPES, seed=1000 + t)[name].double()
            g = g.t() if w.shape[0] > w.shape[1] else g
            if (t - 1) % 3 == 0:
                p = torch.linalg.svd(g.float(), full_matrices=False)[0][:, :rank].double()
            r = p.t() @ g
            m, v = 0.9 * m + 0.1 * r, 0.999 * v + 0.001 * r**2
            update = 0.25 * p @ ((m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8))
            lr = 0.01 / t
            w = w * (1 - lr * 0.1) - lr * (update.t() if w.shape[0] > w.shape[1] else update)
        torch.testing.assert_close(values(parameters)[name].double(), w, rtol=0, atol=2e-6)


def test_the_state_is_low_rank() -> None:
    """Bytes of everything it keeps, against AdamW's two averages at full size."""
    shapes = {"w": (256, 1024)}
    sizes = {}
    for name, settings in (("galore", {"rank": 32}), ("adamw", {})):
        optimizer, _ = build(name, named(random_tensors(shapes, seed=0)), **settings)
        sizes[name] = sum(t.nbytes for slots in optimizer.state().values() for t in slots.values())
    assert sizes["adamw"] == 2 * 4 * 256 * 1024 + 4
    assert sizes["galore"] == 4 * (256 * 32 + 2 * 32 * 1024) + 4


def test_only_matrices() -> None:
    with pytest.raises(UsageError, match="galore cannot update gain .role 'norm', shape .3,..: it takes matrices"):
        build("galore", named({"gain": torch.ones(3)}, role="norm"))
