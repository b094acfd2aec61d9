"""Every preset loads, is as large as it says, and holds the earlier system's values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nanochat_exporters.gguf.architectures import best_fit
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.stock import placements
from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.description import MixtureOfExperts, SoftmaxAttention
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.planning.plan import make_plan
from nanochat_framework.plugins import Registry

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "models"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.toml"))
# exact parameters, and the size that the name or the earlier system's table states
SIZES = {
    "tiny_cpu": (3_672_320, 3.67e6),
    "d20": (17_980_928, 18e6),
    "ittybitty_38m": (37_748_736, 38e6),
    "nano_125m": (123_551_232, 125e6),
    "nano_1b": (1_099_157_504, 1.1e9),
    "large_7b": (7_000_559_616, 7.0e9),
    "nano_125m_gqa": (121_326_336, 125e6),
    "nano_125m_mhc": (121_326_456, 125e6),
    "small_560m": (555_987_520, 560e6),
    "d20_e3_full": (250_971_648, 244e6),
    "medium_3b": (2_995_015_680, 3e9),
    "medium_3b_moe": (2_943_827_712, 3e9),
    "medium_3b_moe_mhc": (2_943_829_504, 3e9),
    "nanochat_d20": (560_988_160, 561e6),
    "nanochat_d26": (1_081_999_360, 1.08e9),
    "nanochat_d32": (1_879_048_192, 1.88e9),
}
# steps, warm-up, sequences x micro-batches, tokens in a sequence, learning rate of matrices: the earlier system's table
TRAINING = {
    "tiny_cpu": (5_000, 50, 8, 1, 256, 0.02),
    "d20": (5_000, 100, 32, 1, 256, 0.02),
    "ittybitty_38m": (954, 40, 32, 8, 2048, 0.02),
    "nano_125m": (50_000, 500, 8, 4, 512, 0.02),
    "nano_1b": (100_000, 2_000, 4, 8, 1024, 0.02),
    "large_7b": (300_000, 8_000, 1, 32, 4096, 0.008),
    "nano_125m_gqa": (50_000, 500, 8, 4, 2048, 0.02),
    "nano_125m_mhc": (50_000, 500, 8, 4, 2048, 0.02),
    "small_560m": (100_000, 2_000, 4, 8, 4096, 0.02),
    "d20_e3_full": (50_000, 2_000, 8, 4, 2048, 0.02),
    "medium_3b": (200_000, 4_000, 1, 32, 8192, 0.02),
    "medium_3b_moe": (200_000, 4_000, 1, 32, 8192, 0.02),
    "medium_3b_moe_mhc": (200_000, 4_000, 1, 32, 8192, 0.02),
    "nanochat_d20": (21_400, 0, 32, 8, 2048, 0.02),
    "nanochat_d26": (41_275, 0, 32, 8, 2048, 0.02),
    "nanochat_d32": (71_680, 0, 32, 8, 2048, 0.02),
}


def _load(name: str, registry: Registry) -> RunConfig:
    loaded = load_config(FOLDER / f"{name}.toml", registry=registry)
    assert loaded.warnings == ()
    return loaded.config


def _header(name: str) -> str:
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    comments = [line.removeprefix("#").strip() for line in lines[: lines.index("")]]
    return " ".join(comments)


def test_these_are_all() -> None:
    assert set(PRESETS) == set(SIZES) == set(TRAINING)


@pytest.mark.parametrize("name", PRESETS)
def test_size_is_exact_and_within_three_percent_of_what_is_stated(name: str, registry: Registry) -> None:
    exact, stated = SIZES[name]
    assert count_parameters(take_inventory(_load(name, registry))).total == exact
    assert abs(exact / stated - 1) <= 0.03


@pytest.mark.parametrize("name", PRESETS)
def test_the_header_states_the_size_to_the_parameter(name: str, registry: Registry) -> None:
    stated = re.search(r"Size: ([\d,]+) parameters", _header(name))
    assert stated is not None
    count = count_parameters(take_inventory(_load(name, registry)))
    assert int(stated[1].replace(",", "")) == count.total
    assert (f"Active for a token: {count.active:,}." in _header(name)) is (count.active < count.total)
    for part in count.parts:
        assert f"{part.parameters:,}" in _header(name), f"the header leaves out {part.name}"


@pytest.mark.parametrize("name", PRESETS)
def test_the_header_tells_what_it_takes(name: str, registry: Registry) -> None:
    header = _header(name)
    for word in ("Hardware:", "Memory:", "Work:"):
        assert word in header
    memory = re.search(r"Memory: ([\d.]+) GB on (the CPU|a GPU)", header)
    work = re.search(r"Work: (\d\.\d\de\d\d) operations", header)
    assert memory is not None
    assert work is not None
    device = "cpu" if memory[2] == "the CPU" else "cuda"
    config = load_config(name, registry=registry, overrides=[f"hardware.device={device}"]).config
    plan = make_plan(config, name=name)
    assert plan.memory.row(config.train.batch_size).total == pytest.approx(float(memory[1]) * 1e9, rel=0.15)
    assert plan.training_flops == pytest.approx(float(work[1]), rel=0.01)


def test_ittybitty_is_three_equal_parts(registry: Registry) -> None:
    count = count_parameters(take_inventory(_load("ittybitty_38m", registry)))
    assert {part.name: part.parameters for part in count.parts} == dict.fromkeys(
        ("embedding", "blocks", "head"), 12_582_912
    )


@pytest.mark.parametrize("name", PRESETS)
def test_training_values_are_the_seeds(name: str, registry: Registry) -> None:
    config = _load(name, registry)
    steps, warmup, batch, accumulation, seq_len, lr = TRAINING[name]
    train, schedule = config.train, config.schedule.config
    assert (train.steps, train.batch_size, train.gradient_accumulation) == (steps, batch, accumulation)
    assert config.data.seq_len == config.model.config.max_seq_len == seq_len
    last = 0.0 if name.startswith("nanochat") else 0.1
    assert (schedule.warmup_steps, schedule.stable_fraction, schedule.min_lr_ratio) == (warmup, 0.8, last)
    muon, *others = config.optimizer
    kind = "muon_8bit" if "moe" in name or "e3" in name else "muon"
    assert (muon.match, muon.component.name, muon.component.config.lr) == ("matrix", kind, lr)
    assert muon.component.config.momentum == 0.95
    assert (train.grad_clip, config.checkpoint.keep_last) == (1.0, 3)
    if name.startswith("nanochat"):
        rates = [(rule.match, rule.component.name, rule.component.config.lr) for rule in others]
        scale = (768 / config.model.config.dim) ** 0.5
        assert rates[0] == ("embedding", "adamw", pytest.approx(0.2 * scale, rel=1e-3))
        assert rates[1] == ("*", "adamw", pytest.approx(0.004 * scale, rel=1e-2))
        assert muon.schedules["momentum"].build(total_steps=steps).multiplier(0) * 0.95 == pytest.approx(0.85, rel=1e-3)
        return
    (lion,) = others
    lion_lr = 1e-3 if name == "tiny_cpu" else 1e-4  # its header says why
    assert (lion.match, lion.component.name, lion.component.config.lr) == ("*", "lion", lion_lr)
    assert lion.component.config.betas == (0.9, 0.99)


@pytest.mark.parametrize("name", PRESETS)
def test_ternary_weights_come_in_whole_groups_that_files_can_hold(name: str, registry: Registry) -> None:
    config = _load(name, registry)
    if name == "ittybitty_38m" or name.startswith("nanochat"):
        assert config.quantizer == ()
        return
    (rule,) = config.quantizer
    assert (rule.match, rule.component.name, rule.component.config.group_size) == ("matrix", "ternary", 256)
    matrices = [t.spec for t in take_inventory(config).model if t.spec.role == "matrix"]
    assert matrices
    assert all(spec.shape[-1] % 256 == 0 for spec in matrices)


@pytest.mark.parametrize("name", PRESETS)
def test_data_is_the_file_that_prepare_data_writes(name: str, registry: Registry) -> None:
    source = _load(name, registry).data.source
    assert source is not None
    assert (source.name, str(source.config.path)) == ("tokens", "data/tokens.bin")


# dim, layers, heads, KV heads, longest sequence, experts with active ones, share of delta nets, streams
COLUMNS = {
    "nano_125m_gqa": (768, 12, 12, 4, 2048, None, 0.0, 1),
    "nano_125m_mhc": (768, 12, 12, 4, 2048, None, 0.0, 2),
    "small_560m": (1024, 20, 16, 4, 4096, None, 0.2, 1),
    "medium_3b": (2048, 28, 32, 8, 8192, None, 0.0, 1),
    "medium_3b_moe": (2048, 28, 32, 8, 8192, (8, 2), 0.3, 1),
    "medium_3b_moe_mhc": (2048, 28, 32, 8, 8192, (8, 2), 0.3, 4),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_the_seeds_second_table(name: str, registry: Registry) -> None:
    model = _load(name, registry).model.config
    dim, layers, heads, kv_heads, seq_len, experts, ratio, streams = COLUMNS[name]
    blocks = model.describe().blocks
    softmax = [block.mixer for block in blocks if isinstance(block.mixer, SoftmaxAttention)]
    assert (model.dim, len(blocks), model.max_seq_len, model.tie_embeddings) == (dim, layers, seq_len, True)
    assert {(mixer.n_heads, mixer.n_kv_heads) for mixer in softmax} == {(heads, kv_heads)}
    assert len(blocks) - len(softmax) == round(ratio * layers)
    assert model.describe().residual.streams == streams
    mixtures = {(len(b.ffn.experts), b.ffn.n_active) if isinstance(b.ffn, MixtureOfExperts) else None for b in blocks}
    assert mixtures == {experts}


@pytest.mark.parametrize("name", [*(name for name in COLUMNS if name != "medium_3b"), "d20_e3_full"])
def test_future_tokens_are_predicted_as_the_seeds_say(name: str, registry: Registry) -> None:
    (objective,) = _load(name, registry).objective
    tokens = 3 if name == "d20_e3_full" else 4
    assert (objective.name, objective.config.n_future_tokens, objective.config.weight) == ("mtp", tokens, 0.2)


def test_easy_tokens_are_dropped_as_the_seeds_say(registry: Registry) -> None:
    token_filter = _load("d20_e3_full", registry).token_filter
    assert token_filter is not None
    assert (token_filter.component.name, token_filter.component.config.threshold) == ("collider", 0.3)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("nano_125m_gqa", "llama"),
        ("small_560m", "qwen35"),
        ("medium_3b", "llama"),
        ("medium_3b_moe", "qwen35moe"),
        ("nano_125m_mhc", None),
        ("medium_3b_moe_mhc", None),
    ],
)
def test_what_stock_llama_cpp_runs(name: str, architecture: str | None, registry: Registry) -> None:
    description = _load(name, registry).model.config.describe()
    best = best_fit(description)
    if architecture is None:
        with pytest.raises(CannotCarry, match="residual"):
            placements(best, description)
    else:
        assert best.name == architecture and placements(best, description)
