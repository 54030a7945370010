"""What the page shows, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from purify.errors import InputError
from purify.review.review_log import Action
from purify.review.session import ReviewSession
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST, VERDICTS, Decision
from tests.review.small_run import HOSTILE, LONG, SAMPLES, Judged, build_run

Find = Callable[[str], int]


@pytest.fixture
def session(run: RunFolder) -> ReviewSession:
    return ReviewSession(run, "ann")


@pytest.fixture
def find() -> Find:
    """Row of a sample by name."""
    return [sample.name for sample in SAMPLES].index


def _names(session: ReviewSession, view: str, label: int | None = None) -> list[str]:
    return [item["sample_id"] for item in session.page(view, label, start=0, most=50)["items"]]


def test_the_most_informative_come_first_class_by_class(session: ReviewSession, find: Find) -> None:
    names = _names(session, "informative")
    assert names[0] == "Bo/left.png"  # left to a person
    unsure = [sample.label for sample in SAMPLES if 0.4 < sample.p_clean < 0.6]
    assert [SAMPLES[find(name)].label for name in names[1:6]] == sorted(unsure)
    assert names[6] == "Ann/second.png"
    sure = [name.split("/")[0] for name in names[7:]]
    assert sure == ["Ann"] * 7 + ["Bo"] * 5 + ["Bo_2"] * 3
    assert sorted(names) == sorted(sample.name for sample in SAMPLES)


def test_views_and_labels_are_parts_of_it(session: ReviewSession, find: Find) -> None:
    assert _names(session, "relabeled") == [f"{LONG[:200]}.png", "Ann/other.png", "Bo_2/1.png"]
    assert {*_names(session, "removed")} == {"Bo/left.png", "Ann/second.png", "Bo/stranger.png", "Bo_2/stranger.png"}
    assert {*_names(session, "borderline")} == {
        s.name for s in SAMPLES if s.decision == "review" or 0.1 < s.p_clean < 0.9
    }
    bo = session.item(find("Bo/0.png"))["label_place"]
    assert _names(session, "kept", bo) == [f"Bo/{i}.png" for i in range(4)]


def test_what_is_decided_is_passed_over_and_counted(session: ReviewSession, find: Find) -> None:
    row = find("Bo/left.png")
    session.log.record([Action([row], Decision.KEEP, None, session.log.version)], tab="1")
    page = session.page("borderline", None, start=0, most=2)
    assert "Bo/left.png" not in [item["sample_id"] for item in page["items"]]
    assert (page["total"], page["reviewed"]) == (
        len(session.page("borderline", None, start=0, most=50)["items"]) + 1,
        1,
    )
    rest = session.page("borderline", None, start=page["next"], most=50)
    assert {item["row"] for item in page["items"]}.isdisjoint(item["row"] for item in rest["items"])
    assert rest["next"] == rest["total"]
    changes = session.changes(0)
    assert changes["reviews"][row]["decision"] == "keep"
    assert (changes["n_reviewed"], changes["n_borderline_reviewed"]) == (1, 1)


def test_the_evidence_of_a_face(session: ReviewSession, find: Find) -> None:
    item = session.item(find("Ann/0.png"))
    assert [face["sample_id"] for face in item["own"]][:3] == ["Ann/1.png", "Ann/2.png", "Ann/3.png"]
    assert [face["sample_id"] for face in item["own"]][-1] == "Ann/other.png"  # what is removed or moved comes last
    assert item["other"] == []
    assert [face["sample_id"] for face in item["neighbors"]] == ["Ann/1.png", "Ann/2.png"]
    unsure = session.item(find("Ann/unsure.png"))
    assert [face["label"] for face in unsure["other"]] == ["Bo"] * 6
    assert unsure["other"][0]["sample_id"] == "Bo/0.png"


def test_a_label_has_its_groups_and_merges(session: ReviewSession) -> None:
    (ann,) = [found["place"] for found in session.search("ann", most=9)]
    page = session.label(ann)
    groups = [(g["kind"], [face["sample_id"] for face in g["faces"]]) for g in page["groups"]]
    assert groups == [
        ("split", [f"Ann/{i}.png" for i in range(6)]),
        ("split", ["Ann/second.png", "Ann/other.png"]),
        ("rest", ["Ann/unsure.png"]),
    ]
    merged = session.label(session.search("Bo_2", most=9)[0]["place"])
    (merge,) = merged["merges"]
    assert (merge["label"], merge["angle"], [face["sample_id"] for face in merge["faces"]]) == ("Bo", 9.5, ["Bo/0.png"])
    assert [group["kind"] for group in merged["groups"]] == ["subcenter"]


def test_search(session: ReviewSession) -> None:
    def labels(words: str) -> list[str]:
        return [found["label"] for found in session.search(words, most=50)]

    assert labels("") == ["Ann", "Bo_2"]
    assert labels("bO 2") == ["Bo_2"]
    assert labels("bo") == ["Bo", "Bo_2"]
    assert labels("nobody") == []
    for hostile in HOSTILE:
        assert labels(hostile) == [hostile]


def test_a_verdict_without_numbers_can_be_shown(tmp_path: Path) -> None:
    run = build_run(tmp_path, [Judged("a/0.png", "a", 0.5), Judged("a/1.png", "a", 0.99)])
    bare = {"sample_id": "a/0.png", "label": "a", "decision": "keep", "reason": "too_few_to_judge", "rule": "x/1"}
    write_table(pa.Table.from_pylist([bare, {**bare, "sample_id": "a/1.png"}], schema=VERDICTS), run.verdicts)
    run.class_report.unlink()
    session = ReviewSession(run, "ann")
    first, second = session.page("borderline", None, start=0, most=5)["items"]
    assert first["p_clean"] is None
    assert [face["row"] for face in first["own"]] == [second["row"]]
    assert session.label(0)["groups"][0]["kind"] == "subcenter"
    assert session.search("", most=5) == []


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, run: RunFolder) -> None:
    with pytest.raises(InputError, match="no run with verdicts"):
        ReviewSession(RunFolder(tmp_path), "ann")
    write_table(VERDICTS.empty_table(), run.verdicts)
    with pytest.raises(InputError, match="nothing to review"):
        ReviewSession(run, "ann")


def test_pictures_are_jpegs_no_larger_than_the_image(session: ReviewSession, find: Find, run: RunFolder) -> None:
    row = find("Ann/0.png")
    assert (session.images.jpeg(row, "large") or b"").startswith(b"\xff\xd8")
    (run.root.parent / "images" / "Bo" / "1.png").write_bytes(b"no image")
    (run.root.parent / "images" / "Bo" / "2.png").unlink()
    assert session.images.jpeg(find("Bo/1.png"), "small") is None
    assert session.images.jpeg(find("Bo/2.png"), "small") is None


def test_changes_carry_the_counts_of_their_labels_and_views(session: ReviewSession, find: Find) -> None:
    before = session.changes(0)
    assert before["labels"] == {}
    assert before["left"]["informative"] == len(SAMPLES)
    row = find("Bo/left.png")
    session.log.record([Action([row], Decision.DROP, None, session.log.version)], tab="1")
    changes = session.changes(before["version"])
    place = session.item(row)["label_place"]
    assert changes["labels"] == {place: 1}
    assert changes["left"] == {
        name: n - (name in ("informative", "borderline", "removed")) for name, n in before["left"].items()
    }
    facts = session.item(row)["class"]
    assert (facts["reviewed"], facts["version"]) == (1, changes["version"])


def test_an_equal_label_is_found_first(session: ReviewSession) -> None:
    assert [found["label"] for found in session.search("bo", most=1)] == ["Bo"]


def test_images_given_later_are_shown_and_leave_the_manifest_as_it_is(run: RunFolder, find: Find) -> None:
    manifest = read_table(run.manifest, MANIFEST)
    place = manifest.schema.get_field_index("uri")
    write_table(manifest.set_column(place, MANIFEST.field("uri"), pa.nulls(len(manifest), pa.string())), run.manifest)
    before = run.manifest.read_bytes()
    unseen = ReviewSession(run, "ann")
    assert unseen.state(most=1)["images"] is False
    assert unseen.images.jpeg(find("Bo/1.png"), "small") is None
    seen = ReviewSession(run, "ann", images=[run.root.parent / "images"])
    assert seen.state(most=1)["images"] is True
    assert (seen.images.jpeg(find("Bo/1.png"), "small") or b"").startswith(b"\xff\xd8")
    assert run.manifest.read_bytes() == before
