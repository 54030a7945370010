from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from purify.errors import InputError
from purify.pipeline.closing import closing_lines
from purify.report.html import write_report
from purify.report.notices import notices
from purify.report.run_overview import noise_of
from purify.report.run_tables import read_run
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST
from tests.report.sample_run import HOSTILE, SAMPLES, Page, Sample, build_run, parse


def _titles(run: RunFolder) -> list[str]:
    return [notice.title for notice in notices(read_run(run.root), faces_shown=True)]


def _set(run: RunFolder, **columns: pa.Array) -> None:
    manifest = read_table(run.manifest, MANIFEST)
    for name, values in columns.items():
        manifest = manifest.set_column(manifest.schema.get_field_index(name), MANIFEST.field(name), values)
    write_table(manifest, run.manifest)


def _thumbnails(page: Page) -> set[str]:
    return {str(a["alt"]) for tag, a in page.tags if tag == "img" and "jpeg" in str(a["src"])}


def test_a_quiet_run_has_none(run: RunFolder) -> None:
    assert _titles(run) == []
    assert "notices" not in parse(write_report(run.root)).texts


def test_missing_images_are_the_first_thing_said(run: RunFolder) -> None:
    reasons = [None] * (len(SAMPLES) - 1) + ["missing: none of the image roots has it"]
    _set(run, status_reason=pa.array(reasons, pa.string()))
    run.update_info(config={"analyze": {"rule": "calibrated"}})
    assert _titles(run) == ["1 of 7 images were not found", "The rule calibrated gave way to official/1"]
    source = write_report(run.root).read_text(encoding="utf-8")
    assert source.index("1 of 7 images were not found") < source.index('id="counts"')
    assert "<code>purify run-flow SOURCE --images FOLDER</code>" in source


def test_the_reason_of_the_fallback_is_the_one_recorded(run: RunFolder) -> None:
    judged = {"asked": "calibrated", "rule": "official/1", "probabilities": False, "fallback": True}
    run.update_info(judged_by={**judged, "why": "fewer than 3 labels have two images or more"})
    (notice,) = notices(read_run(run.root), faces_shown=True)
    assert notice.title == "The rule calibrated gave way to official/1"
    assert "since fewer than 3 labels have two images or more: images were judged by a fixed angle" in notice.text
    assert "hardly tell people apart" not in notice.text


def test_warnings_of_the_source_come_first_as_text(run: RunFolder) -> None:
    warnings = [f"1 image lies in no label folder ({HOSTILE}) and can't be used: status no_label", "paths are twice"]
    run.update_info(source_warnings=warnings, config={"analyze": {"rule": "calibrated"}})
    assert _titles(run) == ["Warning of the source"] * 2 + ["The rule calibrated gave way to official/1"]
    page = parse(write_report(run.root))
    assert page.text("notices").startswith(f"Warning of the source. 1 image lies in no label folder ({HOSTILE}) and")
    assert "Paths are twice." in page.text("notices")
    assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_missing_images_are_told_once(run: RunFolder) -> None:
    reasons = [None] * (len(SAMPLES) - 1) + ["missing: not found in any image root"]
    _set(run, status_reason=pa.array(reasons, pa.string()))
    run.update_info(source_warnings=["2 images lie in no label folder (x.png) and can't be used: status no_label"])
    assert _titles(run) == ["Warning of the source", "1 of 7 images were not found"]
    run.update_info(source_warnings=["1 of 7 images are missing from the image roots (x): b/broken.png; give them"])
    assert _titles(run) == ["Warning of the source"]


def test_a_weak_extractor_is_told_and_a_strong_one_is_not(tmp_path: Path) -> None:
    for p_clean, titles in (
        (0.995, []),
        (0.9, ["Weak extractor: about 10 % of the images are expected to be misjudged"]),
    ):
        samples = [Sample(f"a/{i}.png", "a", 40, p_clean=p_clean) for i in range(4)]
        mixed = [Sample(f"m/{i}.png", "m", 40, p_clean=0.65) for i in range(4)]  # which person, nobody can tell
        structure = {"m": {"flag": "mixed"}}
        run = build_run(tmp_path / str(p_clean), samples + mixed, rule="calibrated/1", structure=structure)
        assert _titles(run) == titles


def test_distrust_is_said_first_and_widens_the_interval(tmp_path: Path) -> None:
    samples = [Sample(f"{name}/{i}.png", name, 40, p_clean=0.97) for name in "ab" for i in range(6)]
    run = build_run(tmp_path, samples, rule="calibrated/4")
    before = noise_of(read_run(run.root).verdicts, calibrated=True)
    judged = {"asked": "calibrated", "rule": "calibrated/4", "probabilities": True, "fallback": False, "why": "asked"}
    weak = {"weak": "don't trust these verdicts: two readings differ", "noise_bounds": [0.0, 0.6]}
    run.update_info(judged_by=judged | weak, source_warnings=["paths are twice"])
    assert _titles(run)[0] == "The verdicts can't be trusted"
    tables = read_run(run.root)
    after = noise_of(tables.verdicts, calibrated=True, bounds=tables.noise_bounds)
    assert before is not None
    assert after is not None
    assert after.share == before.share
    assert after.interval == (0.0, 0.6)
    assert closing_lines(run)[0] == "Warning: don't trust these verdicts: two readings differ."
    run.update_info(judged_by=judged | {"rule": "official/1", "probabilities": False} | weak)  # of other verdicts
    assert read_run(run.root).weak == ""


def test_series_are_told_on_console_and_report(tmp_path: Path) -> None:
    samples = [Sample(f"{name}/{i}.png", name, 40, p_clean=0.999) for name in "ab" for i in range(6)]
    run = build_run(tmp_path, samples, rule="calibrated/7")
    judged = {"asked": "calibrated", "rule": "calibrated/7", "probabilities": True, "fallback": False, "why": "asked"}
    run.update_info(judged_by=judged)
    assert _titles(run) == []
    assert "come in" not in " ".join(closing_lines(run))
    run.update_info(judged_by=judged | {"series": 1234})
    assert _titles(run) == ["The images come in 1,234 series"]
    lines = " ".join(closing_lines(run))
    assert "The images come in 1,234 series (frames, bursts or copies), each judged as one picture" in lines


def test_suspected_looks_are_told_on_console_and_report(tmp_path: Path) -> None:
    samples = [Sample(f"{name}/{i}.png", name, 40, p_clean=0.999) for name in "ab" for i in range(6)]
    run = build_run(tmp_path, samples, rule="calibrated/7")
    judged = {"asked": "calibrated", "rule": "calibrated/7", "probabilities": True, "fallback": False, "why": "asked"}
    run.update_info(judged_by=judged | {"suspected_looks": 1234})
    assert _titles(run) == ["1,234 of the removed images have their like under their own label"]
    told = closing_lines(run)[0]
    assert told.startswith("Warning: 1,234 of the removed images have their like under their own label")
    assert "--several-looks" in told


def _without_images(run: RunFolder) -> None:
    """As the table of a user who has embeddings alone."""
    n = len(SAMPLES)
    _set(run, uri=pa.nulls(n, pa.string()), width=pa.nulls(n, pa.int32()), sha256=pa.nulls(n, pa.string()))


def test_a_run_without_images_names_its_samples_and_says_how_to_give_them(run: RunFolder) -> None:
    _without_images(run)
    page = parse(write_report(run.root))
    assert "No faces are shown." in page.text("notices")
    assert "purify report RUN --images FOLDER" in page.text("notices")
    assert "b/1.png" in page.text("removed")
    assert _thumbnails(page) == set()


def test_images_can_be_given_later_for_showing_only(run: RunFolder) -> None:
    folder = run.root.parent / "given"
    for i, sample in enumerate(SAMPLES):
        (folder / sample.name).parent.mkdir(parents=True, exist_ok=True)
        (run.root.parent / "images" / f"{i}.png").rename(folder / sample.name)
    _without_images(run)
    before = run.manifest.read_bytes()
    page = parse(write_report(run.root, images=[folder]))
    assert "notices" not in page.texts
    assert {"a/2.png", "b/1.png"} <= _thumbnails(page)
    assert run.manifest.read_bytes() == before


def test_a_folder_that_holds_none_of_the_images_is_refused(run: RunFolder, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"no image of this run is there; sample ids, such as 'a/0\.png'"):
        write_report(run.root, images=[empty])
