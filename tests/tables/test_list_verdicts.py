from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.tables.apply import apply_verdicts
from purify.tables.list_files import CleanList
from purify.tables.list_verdicts import Listed, ListedLabels, ListVerdicts, verdicts_by_list
from purify.tables.schema import MANIFEST


def manifest_of(*rows: tuple[str, str, str]) -> pa.Table:
    """Rows of (sample_id, label, status)."""
    records = [{"sample_id": i, "label": label, "status": status} for i, label, status in rows]
    return pa.Table.from_pylist(records, schema=MANIFEST)


FOUR = manifest_of(("a/1", "a", "ok"), ("a/2", "a", "ok"), ("b/1", "b", "ok"), ("b/2", "b", "unreadable"))


def judge(
    entries: list[tuple[str, str | None]],
    listed: Listed = Listed.KEPT,
    labels: ListedLabels = ListedLabels.AUTO,
    manifest: pa.Table = FOUR,
) -> ListVerdicts:
    given = CleanList([path for path, _ in entries], [label for _, label in entries], "path")
    return verdicts_by_list(manifest, given, listed, name="list.txt", labels=labels)


def decisions(found: ListVerdicts) -> list[tuple[str, str, str | None]]:
    return [(row["sample_id"], row["decision"], row["new_label"]) for row in found.verdicts.to_pylist()]


def test_a_list_of_kept_images_drops_the_others() -> None:
    found = judge([("a/1", None), ("b/2", None), ("c/9", None)])
    assert decisions(found) == [("a/1", "keep", None), ("a/2", "drop", None), ("b/1", "drop", None)]
    assert (found.counts["entries"], found.counts["exact"], found.counts["unmatched"]) == (3, 2, 1)
    assert found.warnings == ("list.txt: 1 of its entries match no sample and have no effect: 'c/9'",)


def test_a_list_of_removed_images_keeps_the_others() -> None:
    found = judge([("a/1", "b")], Listed.REMOVED)
    assert decisions(found) == [("a/1", "drop", None), ("a/2", "keep", None), ("b/1", "keep", None)]
    assert set(found.verdicts["reason"].to_pylist()) == {"published_list"}
    assert set(found.verdicts["rule"].to_pylist()) == {"list/list.txt"}


def test_known_labels_relabel() -> None:
    found = judge([("a/1", "a"), ("a/2", "b"), ("b/1", "b")])
    assert decisions(found) == [("a/1", "keep", None), ("a/2", "relabel", "b"), ("b/1", "keep", None)]


def test_a_numbering_of_its_own_is_ignored_and_said() -> None:
    found = judge([("a/1", "0"), ("a/2", "0"), ("b/1", "1")])
    assert {decision for _, decision, _ in decisions(found)} == {"keep"}
    assert found.warnings == ("list.txt: its labels, such as '0', are not those of the manifest and were ignored",)


def test_labels_that_would_rename_most_images_are_a_question() -> None:
    swapped: list[tuple[str, str | None]] = [("a/1", "b"), ("a/2", "b"), ("b/1", "a")]
    with pytest.raises(InputError, match="would rename 3 of 3 images; give --labels"):
        judge(swapped)
    assert {decision for _, decision, _ in decisions(judge(swapped, labels=ListedLabels.USE))} == {"relabel"}
    assert {decision for _, decision, _ in decisions(judge(swapped, labels=ListedLabels.IGNORE))} == {"keep"}


def test_of_contradictory_entries_the_first_holds() -> None:
    found = judge([("a/1", "a"), ("./a/1", "b"), ("a/2", "a"), ("b/1", "b"), ("b/1", "b")])
    assert decisions(found)[0] == ("a/1", "keep", None)
    assert found.counts["repeated"] == 2
    assert "1 of its entries repeat a sample under another label" in found.warnings[0]


def test_an_ambiguous_entry_has_no_effect() -> None:
    manifest = manifest_of(("x/a/1", "a", "ok"), ("y/a/1", "a", "ok"), ("y/a/2", "a", "ok"))
    found = judge([("a/1", None), ("a/2", None)], Listed.REMOVED, manifest=manifest)
    assert [decision for _, decision, _ in decisions(found)] == ["keep", "keep", "drop"]
    assert found.counts["ambiguous"] == 1


def test_a_list_of_another_set_is_refused() -> None:
    with pytest.raises(InputError, match="none of its 1 entries, such as 'z/1', is in the manifest"):
        judge([("z/1", None)])


def test_an_empty_list_removes_nothing_but_keeps_nothing_either() -> None:
    found = judge([], Listed.REMOVED)
    assert {decision for _, decision, _ in decisions(found)} == {"keep"}
    assert found.warnings == ("list.txt: the list has no entries",)
    with pytest.raises(InputError, match="would keep nothing"):
        judge([])


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["ok", "too_small"])), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["a", "b", "new", None])), max_size=12),
    st.sampled_from(Listed),
)
def test_every_row_is_accounted_for(
    rows: list[tuple[str, str]], listed_rows: list[tuple[int, str | None]], listed: Listed
) -> None:
    manifest = manifest_of(*((f"{label}/{i}", label, status) for i, (label, status) in enumerate(rows)))
    entries = [(f"{rows[i][0] if i < len(rows) else 'z'}/{i}", label) for i, label in listed_rows]
    if not any(i < len(rows) for i, _ in listed_rows):
        return
    found = judge(entries, listed, ListedLabels.USE, manifest)
    purified = apply_verdicts(manifest, found.verdicts)
    ok = sum(status == "ok" for _, status in rows)
    assert len(purified.cleaned) + len(purified.removed) == ok
    kinds = ("exact", "list_shorter", "list_longer", "other_suffix", "ambiguous", "unmatched")
    assert sum(found.counts[kind] for kind in kinds) == found.counts["entries"] == len(entries)
    named = {i for i, _ in listed_rows}
    kept = {int(name.split("/")[1]) for name in purified.cleaned["sample_id"].to_pylist()}
    expected = {i for i, (_, status) in enumerate(rows) if status == "ok" and (i in named) == (listed is Listed.KEPT)}
    assert kept == expected
