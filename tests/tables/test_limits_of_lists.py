"""Published lists at their limits: which labels count, what is said, and which columns and lines are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.errors import InputError
from purify.tables.list_files import CleanList, ListForm, read_list, write_list
from purify.tables.list_verdicts import Listed, ListedLabels, ListVerdicts, verdicts_by_list
from purify.tables.path_matching import SamplePaths
from purify.tables.schema import MANIFEST, VERDICTS


def judge(
    entries: dict[str, str | None], listed: Listed = Listed.KEPT, labels: ListedLabels = ListedLabels.AUTO
) -> ListVerdicts:
    """On the images a/1 to a/6 of a and b/1 to b/6 of b."""
    rows = [{"sample_id": f"{label}/{k}", "label": label, "status": "ok"} for label in "ab" for k in range(1, 7)]
    given = CleanList(list(entries), list(entries.values()), "path")
    manifest = pa.Table.from_pylist(rows, schema=MANIFEST)
    return verdicts_by_list(manifest, given, listed, name="l", labels=labels)


def kept(found: ListVerdicts) -> dict[str, str | None]:
    """Final label of each kept image."""
    return {row["sample_id"]: row["new_label"] for row in found.verdicts.to_pylist() if row["decision"] != "drop"}


def test_labels_of_which_half_are_known_are_final_ones() -> None:
    entries = {"a/1": "a", "a/2": "a", "a/3": "new", "b/1": None}
    assert kept(judge(entries)) == {"a/1": None, "a/2": None, "a/3": "new", "b/1": None}
    fewer = judge(entries | {"a/4": "other"})
    assert set(kept(fewer).values()) == {None}
    assert fewer.warnings == ("l: its labels, such as 'a', are not those of the manifest and were ignored",)


def test_labels_may_rename_half_of_the_images_and_no_more() -> None:
    half: dict[str, str | None] = {"a/1": "a", "b/1": "b", "a/2": "b", "b/2": "a"}
    assert list(kept(judge(half)).values()) == [None, "b", None, "a"]
    with pytest.raises(InputError, match="would rename 3 of 5 images"):
        judge(half | {"a/3": "b"})
    assert kept(judge(half | {"a/3": "b"}, labels=ListedLabels.USE))["a/3"] == "b"


def test_three_entries_without_effect_are_named() -> None:
    found = judge({"a/1": None, "z/1": None, "z/2": None, "z/3": None})
    (told,) = found.warnings
    assert told.endswith("'z/1', 'z/2', 'z/3'")
    (told,) = judge({"a/1": None, **{f"z/{k}": None for k in range(1, 5)}}).warnings
    assert told.startswith("l: 4 of its entries match no sample")
    assert told.endswith("'z/1', 'z/2', 'z/3', ...")


def test_labels_of_removed_images_have_no_effect_and_are_not_spoken_of() -> None:
    found = judge({"a/1": "0", "b/1": "a"}, Listed.REMOVED)
    assert len(kept(found)) == 10
    assert set(kept(found).values()) == {None}
    assert found.warnings == ()
    assert judge({"a/1": "0"}, labels=ListedLabels.IGNORE).warnings == ()
    assert judge({"a/1": "0"}, labels=ListedLabels.USE).warnings == ()


def test_verdicts_of_a_list_have_all_columns_and_no_probabilities() -> None:
    table = judge({"a/1": None}).verdicts
    assert table.schema.equals(VERDICTS, check_metadata=True)
    assert table["p_clean"].null_count == table["evidence_ids"].null_count == 12


SAMPLES = SamplePaths([f"s/{k}.jpg" for k in range(4000)])


def read(path: Path, text: str, form: ListForm | None = None) -> CleanList:
    path.write_text(text, encoding="utf-8")
    return read_list(path, SAMPLES.count, form=form)


def test_the_form_is_decided_on_lines_of_all_parts_of_a_file(tmp_path: Path) -> None:
    lines = [f"s/{k}.jpg" if k < 2000 else f"s/{k}.jpg x{k}" for k in range(4000)]
    found = read(tmp_path / "list.txt", "\n".join(lines))
    assert found.form == "path-label (space)"
    assert found.labels[1999] is None
    assert found.labels[2000] == "x2000"
    assert list(found.paths) == [f"s/{k}.jpg" for k in range(4000)]


def test_comments_and_empty_lines_are_skipped_anywhere(tmp_path: Path) -> None:
    found = read(tmp_path / "list.txt", "s/1.jpg\n\n  # and more\n   \n  s/2.jpg  \n")
    assert list(found.paths) == ["s/1.jpg", "s/2.jpg"]
    assert list(found.labels) == [None, None]
    assert list(read(tmp_path / "empty.txt", "# nothing\n").paths) == []


def test_columns_of_a_csv_are_found_by_their_names(tmp_path: Path) -> None:
    found = read(tmp_path / "list.csv", "label,path,sample_id\na,s/1.jpg,s/2.jpg\n,s/3.jpg,s/4.jpg\n")
    assert list(zip(found.paths, found.labels, strict=True)) == [("s/2.jpg", "a"), ("s/4.jpg", None)]
    assert found.form == "csv"
    alone = read(tmp_path / "list.csv", "other,path\na,s/1.jpg\n", ListForm.CSV)
    assert (list(alone.paths), list(alone.labels)) == (["s/1.jpg"], [None])
    lines = read(tmp_path / "list.csv", "path,label\ns/1.jpg,a\n", ListForm.PATH)
    assert list(lines.paths) == ["path,label", "s/1.jpg,a"]


def test_columns_of_a_parquet_file_are_found_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"label": [7], "path": ["s/1.jpg"], "sample_id": ["s/2.jpg"]}), path)
    found = read_list(path, len)
    assert (list(found.paths), list(found.labels), found.form) == (["s/2.jpg"], ["7"], "parquet")
    pq.write_table(pa.table({"path": ["s/1.jpg", "s/2.jpg"]}), path)
    assert list(read_list(path, len).labels) == [None, None]
    pq.write_table(pa.table({"path": ["s/1.jpg", None]}), path)
    with pytest.raises(InputError, match="row 2: the path is empty"):
        read_list(path, len)
    pq.write_table(pa.table({"file": ["s/1.jpg"]}), path)
    with pytest.raises(InputError, match="missing column path; the file has: file"):
        read_list(path, len)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (ListForm.PATH, "./#1.jpg\na/2.jpg\n"),
        (ListForm.PATH_LABEL, "./#1.jpg x\na/2.jpg y\n"),
        (ListForm.LABEL_PATH, "x ./#1.jpg\ny a/2.jpg\n"),
        (ListForm.CSV, "path,label\n#1.jpg,x\na/2.jpg,y\n"),
    ],
)
def test_lists_as_they_are_written(tmp_path: Path, form: ListForm, text: str) -> None:
    write_list(tmp_path / "list", ["#1.jpg", "a/2.jpg"], ["x", "y"], form)
    assert (tmp_path / "list").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("label", "separator"), [("x y", "\t"), ("x,y", "\t"), ("x-y", " ")])
def test_spaces_and_commas_take_tabs(tmp_path: Path, label: str, separator: str) -> None:
    write_list(tmp_path / "list", ["1.jpg"], [label], ListForm.PATH_LABEL)
    assert (tmp_path / "list").read_text(encoding="utf-8") == f"1.jpg{separator}{label}\n"


@pytest.mark.parametrize("label", [" x", "x ", "x\ty", "x\ny", "", "#x"])
def test_labels_that_a_line_can_not_hold_are_refused_where_there_are_labels(tmp_path: Path, label: str) -> None:
    for form in (ListForm.PATH_LABEL, ListForm.LABEL_PATH):
        with pytest.raises(InputError, match=r"write a \.csv"):
            write_list(tmp_path / "list", ["1.jpg"], [label], form)
    write_list(tmp_path / "list", ["1.jpg"], [label], ListForm.PATH)
    assert (tmp_path / "list").read_text(encoding="utf-8") == "1.jpg\n"
