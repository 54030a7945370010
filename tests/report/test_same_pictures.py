from __future__ import annotations

from pathlib import Path

from purify.report.html import write_report
from purify.tables.schema import Reason
from tests.report.sample_run import Sample, build_run, parse


def _twin(name: str, other: str, p_clean: float, *, keep: bool = False) -> Sample:
    return Sample(name, name[0], 40, keep=keep, reason=Reason.SAME_PICTURE, p_clean=p_clean, evidence=(other,))


def test_one_picture_under_two_labels_is_shown_once_with_both(tmp_path: Path) -> None:
    samples = [
        _twin("a/0.png", "b/0.png", 0.45),
        _twin("b/0.png", "a/0.png", 0.55, keep=True),
        Sample("a/1.png", "a", 40),
        Sample("b/1.png", "b", 40, reason=Reason.NEAR_DUPLICATE_OF, evidence=("b/2.png",)),
        Sample("b/2.png", "b", 40),
    ]
    page = parse(write_report(build_run(tmp_path, samples, rule="calibrated/1").root))
    assert "1 picture is under two labels, of which at least one is wrong" in page.text("look")
    assert "1 image is nearly the same as another one of the same label" in page.text("look")
    assert "a (drop) / b (keep)" in page.text("same")


def test_a_merge_tells_its_probability_and_whether_the_labels_are_spelled_alike(tmp_path: Path) -> None:
    samples = [Sample(f"{label}/{i}.png", label, 40) for label in ("Ann Lee", "Lee Ann", "Bo") for i in range(2)]
    values = {"angle": 30.0, "evidence_ids": [], "p_same": 0.91}
    structure = {
        "Ann Lee": {"flag": "duplicate_of", "merge_with": [{**values, "label": "Lee Ann", "spelling": 1.0}]},
        "Lee Ann": {"merge_with": [{**values, "label": "Ann Lee", "spelling": 1.0}]},
    }
    page = parse(write_report(build_run(tmp_path, samples, rule="calibrated/1", structure=structure).root))
    assert "Probability of one person: 91.0 %; the labels are spelled alike." in page.text("merges")


def test_a_run_without_such_findings_has_no_such_section(tmp_path: Path) -> None:
    page = parse(write_report(build_run(tmp_path, [Sample("a/0.png", "a", 40), Sample("b/0.png", "b", 40)]).root))
    assert "same" not in page.texts
