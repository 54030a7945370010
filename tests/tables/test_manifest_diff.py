from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from purify.tables.manifest_diff import Changes, changed_share, compare_manifests, not_in, still_there
from purify.tables.schema import MANIFEST


def manifest(*rows: tuple) -> pa.Table:
    """Rows of (sample_id, label, sha256, status)."""
    values = [
        {"sample_id": i, "uri": f"file:///{i}", "label": label, "sha256": sha, "status": status}
        for i, label, sha, status in rows
    ]
    return pa.Table.from_pylist(values, schema=MANIFEST)


def test_each_kind_of_change_is_counted() -> None:
    before = manifest(
        ("same", "A", "1", "ok"),
        ("bytes", "A", "2", "ok"),
        ("label", "A", "3", "ok"),
        ("broke", "A", "4", "ok"),
        ("mended", "A", None, "unreadable"),
        ("gone", "A", "5", "ok"),
        ("gone-broken", "A", None, "unreadable"),
    )
    after = manifest(
        ("bytes", "A", "20", "ok"),
        ("broke", "A", None, "unreadable"),
        ("label", "B", "3", "ok"),
        ("mended", "A", "6", "ok"),
        ("new", "C", "7", "ok"),
        ("same", "A", "1", "ok"),
    )
    assert compare_manifests(before, after) == Changes(new=1, changed=4, gone=2, lost=2)
    assert not compare_manifests(before, before).any


SHA = st.sampled_from(["x", "y", None])
ROWS = st.dictionaries(st.sampled_from("abcde"), st.tuples(st.sampled_from("AB"), SHA), max_size=5)


@given(before=ROWS, after=ROWS)
def test_counts_are_those_of_a_plain_comparison(before: dict, after: dict) -> None:
    tables = [
        manifest(*((i, label, sha, "unreadable" if sha is None else "ok") for i, (label, sha) in state.items()))
        for state in (before, after)
    ]
    lost = [i for i, (_, sha) in before.items() if sha is not None and (i not in after or after[i][1] is None)]
    assert compare_manifests(*tables) == Changes(
        new=len(after.keys() - before.keys()),
        changed=sum(before[i] != after[i] for i in before.keys() & after.keys()),
        gone=len(before.keys() - after.keys()),
        lost=len(lost),
    )


def test_a_renamed_image_is_not_new_and_a_relabeled_one_is() -> None:
    before = manifest(("a", "A", "1", "ok"), ("b", "A", "2", "ok"), ("hashless", "A", None, "ok"))
    after = manifest(
        ("renamed", "A", "1", "ok"), ("b", "B", "2", "ok"), ("hashless", "A", None, "ok"), ("c", "A", "3", "ok")
    )
    assert not_in(after, before).to_pylist() == [False, True, False, True]
    assert changed_share(before, after) == 2 / 4
    assert changed_share(after, before.slice(0, 1)) == 3 / 4
    assert changed_share(before, before) == 0
    assert changed_share(MANIFEST.empty_table(), after) == 1


def test_an_image_is_still_there_with_its_bytes_and_at_its_place() -> None:
    rows = manifest(("a", "A", "1", "ok"), ("b", "A", "2", "ok"))
    assert still_there(rows, manifest(("b", "B", "2", "ok"), ("a", "A", "1", "ok"), ("c", "A", "3", "ok")))
    assert not still_there(rows, manifest(("a", "A", "1", "ok"), ("b", "A", "changed", "ok")))
    assert not still_there(rows, manifest(("a", "A", "1", "ok"), ("renamed", "A", "2", "ok")))
