from __future__ import annotations

import pyarrow as pa
import pytest

from purify.tables.overlap_tables import Shared, drop_shared, table_of
from purify.tables.schema import OVERLAP_DROPPED, SHARED_PEOPLE, SHARED_PICTURES


def _filled(schema: pa.Schema, **values: object) -> dict[str, object]:
    """A row of a schema: values that are not given are empty ones of the column's type."""
    empty = {"string": "", "double": 0.0, "float": 0.0, "bool": False, "int64": 0, "int32": 0}
    return {field.name: values.get(field.name, empty.get(str(field.type), [])) for field in schema}


@pytest.fixture
def shared() -> Shared:
    people = [
        _filled(SHARED_PEOPLE, label_a="Ann", label_b="ann s", evidence_a=["a1"], evidence_b=["b1", "b2"]),
        _filled(SHARED_PEOPLE, label_a="Ann", label_b="second", evidence_a=["a2"], evidence_b=["b9"]),
    ]
    pictures = [
        _filled(SHARED_PICTURES, sample_id_a="c1", label_a="Cid", sample_id_b="x1", label_b="Xi", cosine=0.8),
        _filled(
            SHARED_PICTURES,
            sample_id_a="c1",
            label_a="Cid",
            sample_id_b="x2",
            label_b="Yo",
            cosine=0.9,
            same_picture=True,
        ),
        _filled(SHARED_PICTURES, sample_id_a="c2", label_a="Cid", sample_id_b="x3", label_b="Yo", cosine=0.7),
    ]
    return Shared(table_of(people, SHARED_PEOPLE), table_of(pictures, SHARED_PICTURES))


def test_people_go_as_a_whole_and_pictures_one_by_one(shared: Shared) -> None:
    table = pa.table(
        {
            "sample_id": ["a1", "a3", "c1", "c2", "c3", "d1"],
            "label": ["Ann", "Ann", "Cid", "Cid", "Cid", "Bo"],
            "label_id": pa.array([0, 0, 2, 2, 2, 1], pa.int32()),
        }
    )
    separated = drop_shared(table, shared, "a")
    assert separated.dropped.schema == OVERLAP_DROPPED
    assert [tuple(row.values()) for row in separated.dropped.to_pylist()] == [
        ("a1", "Ann", "shared_person", "ann s", ["b1", "b2"]),
        ("a3", "Ann", "shared_person", "ann s", ["b1", "b2"]),
        ("c1", "Cid", "shared_picture", "Yo", ["x2"]),
        ("c2", "Cid", "shared_face", "Yo", ["x3"]),
    ]
    assert separated.kept.to_pylist() == [
        {"sample_id": "c3", "label": "Cid", "label_id": 1},
        {"sample_id": "d1", "label": "Bo", "label_id": 0},
    ]
    assert separated.kept.schema == table.schema


def test_the_other_side_is_separated_by_its_own_names(shared: Shared) -> None:
    table = pa.table({"sample_id": ["b1", "x1", "x9"], "label": ["ann s", "Xi", "Xi"]})
    separated = drop_shared(table, shared, "b")
    assert [tuple(row.values()) for row in separated.dropped.to_pylist()] == [
        ("b1", "ann s", "shared_person", "Ann", ["a1"]),
        ("x1", "Xi", "shared_face", "Cid", ["c1"]),
    ]
    assert separated.kept.to_pylist() == [{"sample_id": "x9", "label": "Xi"}]


def test_nothing_shared_drops_nothing() -> None:
    table = pa.table({"sample_id": ["a"], "label": ["b"]})
    separated = drop_shared(table, Shared(table_of([], SHARED_PEOPLE), table_of([], SHARED_PICTURES)), "a")
    assert separated.kept == table
    assert len(separated.dropped) == 0
