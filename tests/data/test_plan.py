"""Sources, phases and epochs together: nothing lost, nothing doubled, whatever the plan."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.data_section import Difficulty
from nanochat_framework.config.phases import Phase
from nanochat_framework.data.packing import Piece
from nanochat_framework.data.plan import LoaderPlan, TokenStream
from nanochat_framework.errors import UsageError

LENGTHS = [7, 2, 1, 40, 3, 3, 19, 11, 5, 28, 2, 64, 9]


def stream(label: str, times: int = 1, max_epochs: int | None = None) -> TokenStream:
    lengths = LENGTHS * times
    starts = np.cumsum([0, *lengths[:-1]])
    scores = np.array([(7 * number) % 13 for number in range(len(lengths))], dtype=np.float32)
    return TokenStream(label, np.arange(sum(lengths), dtype=np.uint32), starts, scores, max_epochs)


def chained(phases: list[Phase]) -> list[Phase]:
    """The phases one after another, each as long as it says."""
    result, step = [], 0
    for phase in phases:
        result.append(dataclasses.replace(phase, first_step=step, end_step=step + phase.end_step))
        step += phase.end_step
    return result


PHASES = st.lists(
    st.builds(
        Phase,
        first_step=st.just(0),
        end_step=st.integers(1, 40),
        seq_len=st.sampled_from([1, 3, 6, 24]),
        batch_size=st.integers(1, 3),
        gradient_accumulation=st.integers(1, 2),
        weights=st.sampled_from([(1.0, 1.0), (1.0, 3.0), (0.0, 1.0), (2.0, 0.5)]),
        difficulty=st.sampled_from(["none", "length", "scores"]),
    ),
    min_size=1,
    max_size=4,
).map(chained)


def positions(pieces: list[Piece]) -> list[int]:
    return [position for first, count in pieces for position in range(first, first + count)]


def all_rows(plan: LoaderPlan, step: int) -> list[tuple[int, list[Piece]]]:
    """The rows of a step, of all its parts, in their order: part p has every P-th row from p on."""
    parts = [plan.rows(step, m, r) for m in range(plan.micro_batches(step)) for r in range(plan.world_size)]
    n_rows = plan.phase(step).rows_per_step
    assert n_rows == sum(map(len, parts))
    return [parts[row % len(parts)][row // len(parts)] for row in range(n_rows)]


def predictable(packing: str, source: TokenStream) -> list[int]:
    last = {len(source.tokens) - 1, *((source.known_starts()[1:] - 1).tolist() if packing == "documents" else ())}
    return [position for position in range(len(source.tokens)) if position not in last]


@settings(max_examples=150)
@given(phases=PHASES, packing=st.sampled_from(["stream", "documents"]), seed=st.integers(0, 3))
def test_no_position_is_visited_again_before_all_others_are(phases: list[Phase], packing: str, seed: int) -> None:
    """At every row of every source: positions were visited e or e + 1 times, across phases of any shape."""
    sources = [stream("a"), stream("b", times=2)]
    plan = LoaderPlan(sources, phases, seed=seed, packing=packing)  # type: ignore[arg-type]
    visits = [np.zeros(len(source.tokens), dtype=int) for source in sources]
    expected = [predictable(packing, source) for source in sources]
    rows = [0, 0]
    for step in range(phases[-1].end_step + 5):
        assert plan.rows_before(step) == rows
        for source, found in zip(range(2), plan.epochs(step), strict=True):
            assert visits[source][expected[source]].min() <= found + 1e-9
            assert found <= visits[source].max() + 1e-9
        for source, pieces in all_rows(plan, step):
            rows[source] += 1
            here = positions(pieces)
            assert 0 < len(here) <= plan.phase(step).seq_len
            visits[source][here] += 1
            seen = visits[source][expected[source]]
            assert seen.max() - seen.min() <= 1
            assert visits[source].sum() == seen.sum(), "and nothing else is visited"


@settings(max_examples=60)
@given(phases=PHASES, step=st.integers(0, 100), world=st.sampled_from([1, 2, 3]), first=st.integers(0, 100))
def test_ranks_share_out_the_rows_of_one_process(phases: list[Phase], step: int, world: int, first: int) -> None:
    """And asking for other steps before changes nothing."""
    phases = [dataclasses.replace(phase, gradient_accumulation=6) for phase in phases]
    alone = LoaderPlan([stream("a"), stream("b")], phases)
    shared = LoaderPlan([stream("a"), stream("b")], phases, world_size=world)
    shared.rows(first)
    assert all_rows(shared, step) == all_rows(alone, step)


@settings(max_examples=60)
@given(phases=PHASES)
def test_sources_have_their_share_of_each_phase(phases: list[Phase]) -> None:
    plan = LoaderPlan([stream("a"), stream("b")], phases)
    for phase in phases:
        before, after = plan.rows_before(phase.first_step), plan.rows_before(phase.end_step - 1)
        rows = (phase.steps - 1) * phase.rows_per_step
        for source, weight in enumerate(phase.weights):
            assert abs(after[source] - before[source] - rows * weight / sum(phase.weights)) < 1


def difficulties(plan: LoaderPlan, step: int, of_position: np.ndarray) -> list[float]:
    return [float(of_position[positions(pieces)].mean()) for _, pieces in plan.rows(step)]


@pytest.mark.parametrize("packing", ["stream", "documents"])
@pytest.mark.parametrize("by", ["length", "scores"])
def test_easy_first(packing: str, by: Difficulty) -> None:
    """Rows get more difficult through an epoch, start again with the next, and a later phase takes what is left."""
    source = stream("a", times=8)
    easy, usual = Phase(0, 20, 24, 2, difficulty=by), Phase(20, 60, 24, 2)
    plan = LoaderPlan([source], [easy, usual], packing=packing)  # type: ignore[arg-type]
    of_position = np.repeat(source.difficulty(by), LENGTHS * 8)
    found = [score for step in range(20) for score in difficulties(plan, step, of_position)]
    assert found == sorted(found)
    assert found[0] < 0.5 * found[-1]
    later = [score for step in range(20, 30) for score in difficulties(plan, step, of_position)]
    assert min(later) >= found[-1], "the first epoch has some 60 rows"
    assert later != sorted(later)
    endless = LoaderPlan([source], [Phase(0, 200, 24, 1, difficulty=by)], packing=packing)  # type: ignore[arg-type]
    for epoch in range(3):
        steps = [step for step in range(200) if epoch <= endless.epochs(step)[0] < epoch + 1]
        scores = [score for step in steps for score in difficulties(endless, step, of_position)]
        assert len(scores) > 50
        assert scores == sorted(scores)


def test_short_rows_of_one_window_are_not_neighbours() -> None:
    """A batch of short rows is as mixed as one of long rows."""
    source = TokenStream("a", np.arange(24 * 100 + 1, dtype=np.uint32))
    plan = LoaderPlan([source], [Phase(0, 10, 6, 8), Phase(10, 20, 24, 8)])
    firsts = [pieces[0][0] for step in range(10) for _, pieces in plan.rows(step)]
    assert len({first // 24 for first in firsts}) == 20, "80 rows, four of each of 20 windows"
    assert sum(abs(a - b) == 6 for a, b in pairwise(firsts)) < 10


def test_a_source_that_is_used_up_gives_its_share_to_the_others() -> None:
    sources = [stream("small", max_epochs=2), stream("large", times=9), stream("other", times=9)]
    plan = LoaderPlan(sources, [Phase(0, 40, 24, 4, weights=(2.0, 1.0, 1.0))])
    rows_of_small = 2 * -(-(sum(LENGTHS) - 1) // 24)
    step = next(step for step in range(40) if plan.rows_before(step)[0] == rows_of_small)
    assert plan.warnings == [
        f"small is used up after step {step} of 40 (max_epochs = 2); its share goes to the other sources"
    ] or plan.warnings == [
        f"small is used up after step {step - 1} of 40 (max_epochs = 2); its share goes to the other sources"
    ]
    assert plan.rows_before(40)[0] == rows_of_small
    assert plan.epochs(40)[0] == 2.0
    _, large, other = plan.rows_before(40)
    assert abs(large - other) <= 2
    assert large + other == 160 - rows_of_small


def test_all_sources_used_up() -> None:
    with pytest.raises(UsageError, match="used up after step 4 of 40, each read max_epochs times"):
        LoaderPlan([stream("small", max_epochs=1)], [Phase(0, 40, 24, 2)])


def test_a_phase_that_begins_with_a_used_up_source_says_so_once() -> None:
    sources = [stream("small", max_epochs=1), stream("large")]
    weights = (1.0, 0.0), (1.0, 1.0), (1.0, 2.0)
    rows = -(-(sum(LENGTHS) - 1) // 24)
    phases = [Phase(0, rows, 24, 1, weights=weights[0]), Phase(rows, 20, 24, 1, weights=weights[1])]
    plan = LoaderPlan(sources, [*phases, Phase(20, 30, 24, 1, weights=weights[2])])
    assert plan.warnings == [
        f"small is used up after step {rows} of 30 (max_epochs = 1); its share goes to the other sources"
    ]
    assert plan.rows_before(30) == [rows, 30 - rows]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            TokenStream("bare", np.arange(100)),
            {"packing": "documents"},
            "bare: nothing tells where its documents start",
        ),
        (TokenStream("bare", np.arange(100)), {"document_attention": True}, "writes it to tokens.starts.bin"),
        (TokenStream("odd", np.arange(100), np.array([0, 7, 7])), {"packing": "documents"}, "odd: the starts of its"),
        (TokenStream("odd", np.arange(100), np.array([0, 100])), {"document_attention": True}, "not ascending places"),
        (TokenStream("ones", np.arange(100), np.arange(100)), {"packing": "documents"}, "no document has two tokens"),
    ],
)
def test_data_that_does_not_say_enough(source: TokenStream, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LoaderPlan([source], [Phase(0, 10, 8, 1)], **options)  # type: ignore[arg-type]


def test_difficulty_needs_scores() -> None:
    source = TokenStream("bare", np.arange(100), np.array([0, 10]))
    with pytest.raises(UsageError, match=r'difficulty = "scores" needs a score for each document'):
        LoaderPlan([source], [Phase(0, 10, 8, 1, difficulty="scores")])
    broken = TokenStream("nan", np.arange(100), np.array([0, 10]), np.array([1.0, np.nan], dtype=np.float32))
    with pytest.raises(UsageError, match="not one number for each"):
        LoaderPlan([broken], [Phase(0, 10, 8, 1, difficulty="scores")])
