from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.analysis.round_changes import STOP_MEANINGS, Stop, compare_rounds, first_round, noise_estimate
from purify.config import RoundsConfig
from purify.errors import InputError
from purify.tables.schema import CHANGES, VERDICTS

ENDLESS = RoundsConfig(most=9, least_change=0, least_noise_change=0)

KEEP = {"decision": "keep", "p_clean": 1.0}
DROP = {"decision": "drop", "p_clean": 0.0}
REVIEW = {"decision": "review", "p_clean": 0.5}
RELABEL = {"decision": "relabel", "new_label": "b", "p_clean": 0.0}


def _verdicts(*verdicts: dict[str, Any]) -> pa.Table:
    """Verdicts on samples ``s0``, ``s1``, ... of the label ``a``."""
    rows = [
        {"sample_id": f"s{i}", "label": "a", "new_label": None, "reason": f"why {v['decision']}", "rule": "r/1", **v}
        for i, v in enumerate(verdicts)
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def test_the_first_round_is_summed_up() -> None:
    summary = first_round(_verdicts(KEEP, KEEP, DROP, REVIEW, RELABEL), ENDLESS, trainable=True, learned=True)
    assert (summary.round, summary.kept, summary.removed, summary.changed) == (1, 3, 2, None)
    assert summary.noise_estimate == pytest.approx(0.5)
    assert summary.stopped_because is None


@pytest.mark.parametrize(
    ("most", "trainable", "stop"),
    [(1, True, Stop.MOST_ROUNDS), (1, False, Stop.MOST_ROUNDS), (2, True, None), (2, False, Stop.NO_IMAGES)],
)
@pytest.mark.parametrize("learned", [True, False])
def test_the_first_round_is_the_last_if_no_other_is_asked_for_or_can_be(
    most: int, trainable: bool, stop: Stop | None, learned: bool
) -> None:
    summary = first_round(_verdicts(KEEP), RoundsConfig(most=most), trainable=trainable, learned=learned)
    assert summary.stopped_because == stop


@pytest.mark.parametrize(
    ("wrong", "learned", "trainable", "stop"),
    [
        ([DROP], True, True, Stop.ONE_IS_ENOUGH),
        ([DROP, RELABEL], True, True, None),
        ([DROP, REVIEW], True, True, Stop.ONE_IS_ENOUGH),
        ([DROP, RELABEL], True, False, Stop.NO_IMAGES),
        ([DROP, RELABEL], False, True, Stop.ONE_IS_ENOUGH),
        ([DROP, RELABEL], False, False, Stop.ONE_IS_ENOUGH),
    ],
)
def test_a_network_that_learned_many_wrong_labels_is_followed_by_another(
    wrong: list[dict[str, Any]], learned: bool, trainable: bool, stop: Stop | None
) -> None:
    """Without a number of rounds; from one label alone nothing could be trained."""
    verdicts = _verdicts(*wrong, *[KEEP] * 8)
    summary = first_round(verdicts, RoundsConfig(second_from=0.15), trainable=trainable, learned=learned)
    assert summary.stopped_because == stop


def test_without_a_number_the_second_round_is_the_last() -> None:
    changed = compare_rounds(2, _verdicts(KEEP, DROP), _verdicts(DROP, KEEP), RoundsConfig(least_change=0))
    assert changed.summary.stopped_because == Stop.MOST_ROUNDS


def test_changes_are_those_of_the_final_label_and_of_being_kept() -> None:
    other = {**RELABEL, "new_label": "c"}
    back = {**RELABEL, "new_label": "a"}
    before = _verdicts(KEEP, KEEP, DROP, DROP, RELABEL, RELABEL, RELABEL, KEEP, REVIEW, DROP)
    after = _verdicts(KEEP, DROP, KEEP, REVIEW, RELABEL, other, KEEP, back, RELABEL, DROP)
    comparison = compare_rounds(2, before, after, ENDLESS)
    changes = comparison.changes
    assert changes.schema.equals(CHANGES, check_metadata=True)
    assert changes["sample_id"].to_pylist() == ["s1", "s2", "s5", "s6", "s8"]
    assert comparison.summary.changed == 5
    assert comparison.summary.kept + comparison.summary.removed == 10
    assert changes.to_pylist()[2] == {
        "sample_id": "s5",
        "label": "a",
        "decision_before": "relabel",
        "decision": "relabel",
        "new_label_before": "b",
        "new_label": "c",
        "p_clean_before": 0.0,
        "p_clean": 0.0,
        "reason_before": "why relabel",
        "reason": "why relabel",
    }


def test_the_order_of_the_earlier_verdicts_does_not_matter() -> None:
    before, after = _verdicts(KEEP, DROP, KEEP, RELABEL), _verdicts(KEEP, KEEP, DROP, RELABEL)
    shuffled = before.take([2, 0, 3, 1])
    straight = compare_rounds(2, before, after, ENDLESS)
    again = compare_rounds(2, shuffled, after, ENDLESS)
    assert again.changes.equals(straight.changes)
    assert again.summary == straight.summary


@pytest.mark.parametrize("ids", [["s0"], ["s0", "s2"], ["s0", "s1", "s2"]])
def test_rounds_of_other_samples_are_refused(ids: list[str]) -> None:
    before = _verdicts(*[KEEP] * len(ids)).set_column(0, VERDICTS.field(0), pa.array(ids))
    with pytest.raises(InputError, match="analyze the same manifest"):
        compare_rounds(2, before, _verdicts(KEEP, KEEP), ENDLESS)


def _stop(before: list[dict[str, Any]], after: list[dict[str, Any]], **limits: float) -> Stop | None:
    config = RoundsConfig.model_validate({"most": 9, **limits})
    return compare_rounds(2, _verdicts(*before), _verdicts(*after), config).summary.stopped_because


def test_it_stops_when_decisions_and_noise_have_both_settled() -> None:
    before, after = [KEEP] * 9 + [DROP], [KEEP] * 10
    assert _stop(before, after, least_change=0.2, least_noise_change=0.2) == Stop.SETTLED
    assert _stop(before, after, least_change=0.2, least_noise_change=0.05) is None
    assert _stop(before, after, least_change=0.05, least_noise_change=0.2) is None


def test_a_change_of_just_the_limit_is_not_below_it() -> None:
    before, after = [KEEP] * 9 + [DROP], [KEEP] * 10
    assert _stop(before, after, least_change=0.1, least_noise_change=1) is None


def test_it_stops_at_the_most_rounds() -> None:
    before, after = [KEEP, DROP], [DROP, KEEP]
    assert _stop(before, after, most=2, least_change=0) == Stop.MOST_ROUNDS
    assert _stop(before, after, most=3, least_change=0) is None


def test_it_stops_when_nothing_changed_whatever_the_limits() -> None:
    assert _stop([KEEP, DROP], [{**KEEP, "p_clean": 0.1}, DROP], least_change=0, least_noise_change=0) == (
        Stop.NOTHING_CHANGED
    )


def test_noise_is_estimated_from_the_verdicts_that_say() -> None:
    assert noise_estimate(_verdicts({**KEEP, "p_clean": None}, DROP)) == 1.0
    silent = [{**KEEP, "p_clean": None}, {**DROP, "p_clean": None}]
    assert noise_estimate(_verdicts(*silent)) is None
    assert _stop(silent, silent[::-1], least_change=1, least_noise_change=0.1) is None
    quiet = [silent[0], silent[0]]
    assert _stop(silent, quiet, least_change=1, least_noise_change=0.1) == Stop.SETTLED


@given(
    st.lists(
        st.tuples(st.sampled_from([KEEP, DROP, REVIEW, RELABEL]), st.sampled_from([KEEP, DROP, REVIEW])), min_size=1
    )
)
def test_counts_agree_with_a_count_by_hand(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    def final(verdict: dict[str, Any]) -> str | None:
        return {"keep": "a", "relabel": "b"}.get(verdict["decision"])

    before, after = zip(*pairs, strict=True)
    comparison = compare_rounds(2, _verdicts(*before), _verdicts(*after), ENDLESS)
    assert comparison.summary.changed == len(comparison.changes) == sum(final(b) != final(a) for b, a in pairs)
    assert comparison.summary.kept == sum(final(a) is not None for a in after)
    backward = compare_rounds(2, _verdicts(*after), _verdicts(*before), ENDLESS)
    assert backward.changes["sample_id"].equals(comparison.changes["sample_id"])


def test_every_reason_to_stop_is_explained() -> None:
    assert set(STOP_MEANINGS) == set(Stop)
