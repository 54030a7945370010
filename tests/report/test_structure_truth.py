from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from purify.report.html import write_report
from purify.storage.run_folder import RunFolder
from purify.tables.schema import Decision, Reason
from tests.report.sample_run import Sample, build_run, parse, structured_run

PROPOSED = {"angle": 30.0, "evidence_ids": []}


def _look_alikes(folder: Path, truths: dict[str, str | None]) -> RunFolder:
    """A calibrated run with two labels that a weak extractor proposes to merge, and renames nothing of."""
    samples = [
        Sample(f"{label}/{i}.png", label, 40 + i, truths[label], p_clean=0.9) for label in ("a", "b") for i in range(3)
    ]
    structure = {
        "a": {"flag": "duplicate_of", "merge_with": [{**PROPOSED, "label": "b"}]},
        "b": {"merge_with": [{**PROPOSED, "label": "a"}]},
    }
    return build_run(folder, samples, rule="calibrated/1", structure=structure)


def test_a_proposal_that_renamed_nothing_claims_no_person_and_shows_the_truth(tmp_path: Path) -> None:
    page = parse(write_report(_look_alikes(tmp_path, {"a": "a", "b": "b"}).root))
    assert "1 pair of labels looks alike to this extractor" in page.text("look")
    assert "In truth 0 of 1 are one person." in page.text("look")
    assert "probably one person" not in page.text("look")
    assert page.text("merges-title") == "Labels that look alike"
    assert page.text("merge-1") == "a looks like b (30.0\u00b0)"
    assert "In truth two people." in page.text("merges")


def test_a_proposal_without_truth_is_shown_without_one(tmp_path: Path) -> None:
    page = parse(write_report(_look_alikes(tmp_path, {"a": None, "b": None}).root))
    assert page.text("merge-1") == "a looks like b (30.0\u00b0)"
    assert "In truth" not in page.text("look") + page.text("merges")


def test_what_was_renamed_and_what_is_mixed_stand_beside_their_truth(tmp_path: Path) -> None:
    page = parse(write_report(structured_run(tmp_path).root))
    assert "1 pair of labels is probably one person, and renamed: the pairs. True of 1 of 1." in page.text("look")
    assert "1 label shows two people or more: who is who. True of 1 of 1." in page.text("look")
    assert "In truth one person." in page.text("merges")
    assert "In truth the groups show different people." in page.text("mixed")
    assert "In truth c: 2 of 2" in page.text("mixed")
    assert "In truth a: 2 of 2" in page.text("mixed")


def test_a_split_of_one_person_is_told(tmp_path: Path) -> None:
    samples = [
        Sample(f"c/{i}.png", "c", 50, "c", keep=i < 2, reason=Reason.SECOND_IDENTITY, p_clean=0.6) for i in range(4)
    ]
    assert samples[-1].decision is Decision.REVIEW
    structure = {"c": {"flag": "mixed", "split": [["c/0.png", "c/1.png"], ["c/2.png", "c/3.png"]]}}
    page = parse(write_report(build_run(tmp_path, samples, rule="calibrated/1", structure=structure).root))
    assert "True of 0 of 1." in page.text("look")
    assert "In truth all groups show one person." in page.text("mixed")
    unknown = [replace(sample, truth=None) for sample in samples]
    page = parse(write_report(build_run(tmp_path / "b", unknown, rule="calibrated/1", structure=structure).root))
    assert "In truth" not in page.text("mixed")
