"""Reviews of Label Studio and FiftyOne, as they export what purify gave them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.errors import InputError
from purify.review.review_imports import import_reviews, read_tool_reviews
from purify.tables.reviews import read_reviews
from purify.tables.schema import MANIFEST


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a manifest of four samples."""
    rows = [{"sample_id": f"Ada/{n}.jpg", "label": "Ada", "status": "ok"} for n in range(4)]
    (tmp_path / "run").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), tmp_path / "run/manifest.parquet")
    return tmp_path / "run"


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def task(number: int, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "data": {"sample_id": f"Ada/{number}.jpg", "verdict": "drop"}, "annotations": annotations}


def annotation(decision: str | None, *, label: str | None = None, **values: Any) -> dict[str, Any]:
    result = []
    if decision:
        result.append({"from_name": "decision", "type": "choices", "value": {"choices": [decision]}})
    if label:
        result.append({"from_name": "new_label", "type": "textarea", "value": {"text": [label]}})
    return {"result": result, "completed_by": 7, "updated_at": "2026-03-09T22:16:08.728378Z", **values}


def short(reviews: pa.Table) -> list[tuple[str, str, str | None]]:
    names = ("sample_id", "decision", "new_label")
    return list(zip(*(reviews[name].to_pylist() for name in names), strict=True))


def test_label_studio_json(tmp_path: Path) -> None:
    exported = [
        task(0, annotation("keep", label="Eve", updated_at="2026-03-10T00:00:00Z", completed_by={"email": "a@b.c"})),
        task(1, annotation("relabel", label="Eve"), annotation("drop", was_cancelled=True)),
        task(2, annotation(None)),
        task(3),
    ]
    reviews = read_tool_reviews(write(tmp_path / "project.json", exported))
    assert short(reviews) == [("Ada/1.jpg", "relabel", "Eve"), ("Ada/0.jpg", "keep", None)]
    assert reviews["reviewer"].to_pylist() == ["label-studio 7", "label-studio a@b.c"]
    assert reviews["at"][0].as_py() == datetime(2026, 3, 9, 22, 16, 8, 728378, tzinfo=UTC)


def test_label_studio_json_min(tmp_path: Path) -> None:
    at = {"annotator": 1, "updated_at": "2026-03-09T22:16:08Z"}
    exported = [
        {"sample_id": "Ada/0.jpg", "decision": "drop", **at},
        {"sample_id": "Ada/1.jpg", "decision": "relabel", "new_label": "Eve", **at},
        {"sample_id": "Ada/2.jpg", "verdict": "drop", **at},
    ]
    reviews = read_tool_reviews(write(tmp_path / "project.json", exported))
    assert short(reviews) == [("Ada/0.jpg", "drop", None), ("Ada/1.jpg", "relabel", "Eve")]


def sample(number: int, tags: Sequence[str] = (), label: str = "Ada") -> dict[str, Any]:
    return {
        "_id": {"$oid": "6b0904d849c8cebf959cbd98"},
        "filepath": f"data/Ada/{number}.jpg",
        "tags": ["train", *tags],
        "ground_truth": {"_cls": "Classification", "label": label},
        "proposed": {"_cls": "Classification", "label": "Eve", "confidence": 0.9},
        "exported_label": "Ada",
        "purify_id": f"Ada/{number}.jpg",
        "decision": "drop",
    }


def test_fiftyone_tags_and_changed_labels(tmp_path: Path) -> None:
    samples = [sample(0, ["keep"]), sample(1, ["relabel"]), sample(2, label="Bo"), sample(3)]
    write(tmp_path / "samples.json", {"samples": samples})
    expected = [("Ada/0.jpg", "keep", None), ("Ada/1.jpg", "relabel", "Eve"), ("Ada/2.jpg", "relabel", "Bo")]
    assert short(read_tool_reviews(tmp_path)) == expected
    assert short(read_tool_reviews(tmp_path / "samples.json")) == expected


def test_importing_again_changes_nothing_and_earlier_reviews_stay(run: Path, tmp_path: Path) -> None:
    earlier = pa.table({"sample_id": ["Ada/3.jpg"], "decision": ["keep"]})
    pq.write_table(earlier, run / "reviews.parquet")
    given = write(tmp_path / "samples.json", {"samples": [sample(0, ["drop"]), sample(9, ["drop"])]})
    assert import_reviews(run, given) == {"reviewed": 1, "reviews_ignored": 1}
    first = (run / "reviews.parquet").read_bytes()
    import_reviews(run, given)
    assert (run / "reviews.parquet").read_bytes() == first
    assert {row[0] for row in short(read_reviews(run / "reviews.parquet"))} == {"Ada/3.jpg", "Ada/0.jpg", "Ada/9.jpg"}


def test_invalid_reviews_are_named_together(tmp_path: Path) -> None:
    exported = [task(0, annotation("maybe")), task(1, annotation("relabel"))]
    with pytest.raises(InputError, match=r"Ada/0\.jpg: decision 'maybe'.*Ada/1\.jpg: relabel without a new label"):
        read_tool_reviews(write(tmp_path / "project.json", exported))
    with pytest.raises(InputError, match="'drop and keep'"):
        read_tool_reviews(write(tmp_path / "samples.json", {"samples": [sample(0, ["keep", "drop"])]}))
    for odd in ({"a": 1}, ["keep", "drop"], 3):
        short_form = {"sample_id": "Ada/2.jpg", "decision": odd, "annotator": 1}
        with pytest.raises(InputError, match=r"Ada/2\.jpg: decision .*expected one of"):
            read_tool_reviews(write(tmp_path / "short.json", [short_form]))


@pytest.mark.parametrize("content", [{}, {"samples": 3}, [1, 2], "text", {"samples": ["a"]}, None])
def test_other_json_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither tasks of Label Studio"):
        read_tool_reviews(write(tmp_path / "other.json", content))


def test_reviews_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    given = write(tmp_path / "samples.json", {"samples": [sample(9, ["drop"])]})
    with pytest.raises(InputError, match="no review of a sample"):
        import_reviews(run, given)
    assert not (run / "reviews.parquet").exists()


def test_the_command(run: Path, tmp_path: Path) -> None:
    given = write(tmp_path / "samples.json", {"samples": [sample(0, ["drop"])]})
    result = CliRunner().invoke(main, ["review", str(run), "--import", str(given)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "reviewed         1" in result.stdout
    assert short(read_reviews(run / "reviews.parquet")) == [("Ada/0.jpg", "drop", None)]
