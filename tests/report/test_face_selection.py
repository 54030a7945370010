from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from purify.report.face_selection import at_angles, borderline, by_ids, hardest_kept, surest_removed
from purify.report.label_findings import confused_pairs, subcenter_shares, worst_labels
from purify.report.run_overview import counts
from purify.tables.schema import VERDICTS
from tests.report.sample_run import RunRow, verdict_table


def _ids(table: pa.Table) -> Sequence[str]:
    return table["sample_id"].to_pylist()


def test_a_sheet_shows_few_of_a_label_while_there_are_others() -> None:
    rows = [RunRow(f"a{i}", "a", p_clean=0.001 * i, decision="drop") for i in range(9)]
    rows += [RunRow(f"b{i}", "b", p_clean=0.1, decision="drop") for i in range(2)]
    assert _ids(surest_removed(verdict_table(rows), most=6)) == ["a0", "a1", "a2", "b0", "b1", "a3"]
    assert _ids(surest_removed(verdict_table(rows), most=2)) == ["a0", "a1"]
    assert _ids(surest_removed(verdict_table(rows[:0]), most=2)) == []


def test_borderline_and_hard_are_what_their_names_say() -> None:
    rows = [RunRow("sure", "a", 0.99, 30), RunRow("half", "a", 0.52, 60), RunRow("hard", "b", 0.8, 82)]
    rows += [RunRow("gone", "b", 0.4, 90, "drop")]
    table = verdict_table(rows)
    assert _ids(borderline(table, most=2)) == ["half", "gone"]
    assert _ids(hardest_kept(table, most=2)) == ["hard", "half"]


def test_faces_of_an_angle_are_within_it() -> None:
    table = verdict_table([RunRow(str(i), "a", 0.9, float(i)) for i in range(40)])
    low, high = at_angles(table, np.array([10.0, 20, 30]), most=3)
    assert _ids(low) == ["10", "14", "19"]
    assert _ids(high) == ["20", "24", "29"]


def test_ids_are_found_in_their_order_and_strangers_left_out() -> None:
    table = verdict_table([RunRow(name, "a") for name in "xyz"])
    assert _ids(by_ids(table, ["z", "w", "x"])) == ["z", "x"]


def test_confused_pairs_are_counted_both_ways() -> None:
    rows = [RunRow(f"1{i}", "a", 0.1, 80, "relabel", other="b", reason="closer_to_other_label") for i in range(3)]
    rows += [RunRow(f"2{i}", "b", 0.1, 80, "drop", other="a", reason="closer_to_other_label") for i in range(2)]
    rows += [RunRow("3", "c", 0.1, 80, "drop", other="a", reason="closer_to_other_label")]
    rows += [
        RunRow("4", "a", 0.9, 40, other="c"),
        RunRow("5", "d", 0.1, 20, "relabel", other="a", reason="duplicate_of"),
    ]
    assert confused_pairs(verdict_table(rows), most=9) == [
        {"label": "a", "other": "b", "n": 3, "relabeled": 3, "back": 2},
        {"label": "b", "other": "a", "n": 2, "relabeled": 0, "back": 3},
    ]
    assert [pair["n"] for pair in confused_pairs(verdict_table(rows[5:]), most=9)] == [1]


def test_subcenter_shares_are_those_of_the_votes() -> None:
    rows = [RunRow(str(i), "a", subcenter=k) for i, k in enumerate((2, 2, 0, 2))] + [RunRow("9", "b", subcenter=1)]
    report = pa.table({"label": ["b", "a", "empty"]})
    shares = subcenter_shares(verdict_table(rows), report)
    assert shares is not None
    assert shares.counts.tolist() == [[0, 1, 0], [1, 0, 3], [0, 0, 0]]
    assert shares.of("a") == [0.75, 0.25, 0]
    assert shares.of("empty") == []
    assert shares.shares.tolist() == [[0, 1, 0], [0.25, 0, 0.75]]
    without = VERDICTS.empty_table()
    assert subcenter_shares(without, report) is None


def test_the_worst_labels_are_the_noisiest_that_stand_for_someone() -> None:
    rows = [
        ("ok", 5, 5, 0.1, "ok"),
        ("bad", 9, 2, 0.8, "ok"),
        ("worse", 9, 1, 0.9, "mixed"),
        ("b__2", 4, 0, 1, "duplicate_of"),
    ]
    columns = ("label", "n", "n_kept", "noise_rate", "flag")
    report = pa.table(
        {name: [row[i] for row in rows] for i, name in enumerate(columns)} | {"dominant_share": [1.0] * 4}
    )
    assert [row["label"] for row in worst_labels(report, most=9)] == ["worse", "bad"]


def test_counts_add_up() -> None:
    rows = [RunRow("1", "a"), RunRow("2", "a", decision="relabel"), RunRow("3", "b", decision="review")]
    found = counts(pa.table({"label": ["a", "a", "b", "b"]}), verdict_table(rows))
    assert found["images"] == found["not usable"] + found["kept"] + found["removed"] == 4
    assert (found["kept"], found["relabeled"], found["removed"], found["review"]) == (2, 1, 1, 1)
