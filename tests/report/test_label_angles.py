from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from purify.report.known_truth import truth_figures
from purify.report.label_angles import angle_groups
from purify.report.run_overview import unusable
from purify.storage.files import read_table
from purify.tables.schema import MANIFEST, VERDICTS
from tests.report.sample_run import SAMPLES, Sample, build_run


def test_angles_are_grouped_by_what_is_known_of_the_truth(tmp_path: Path) -> None:
    samples = [*SAMPLES, Sample("b/2.png", "b", 33, None)]
    run = build_run(tmp_path, samples, pictures=False)
    groups = angle_groups(read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS))
    assert {name: sorted(values.tolist()) for name, values in groups.items()} == {
        "label right": [40, 50, 95],
        "label wrong": pytest.approx([74.96, 91.26, 99]),
        "truth not known": [33],
    }


def test_truth_of_broken_files_alone_is_no_truth(tmp_path: Path) -> None:
    samples = [sample if sample.angle is None else replace(sample, truth=None) for sample in SAMPLES]
    run = build_run(tmp_path, samples, pictures=False)
    manifest, verdicts = read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)
    assert truth_figures(manifest, verdicts) is None
    assert list(angle_groups(manifest, verdicts)) == ["kept", "not kept"]


def test_many_broken_files_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    broken = [Sample(f"{i:03d}.png", "a") for i in range(80)]
    run = build_run(tmp_path, [*SAMPLES, *broken], pictures=False)
    listed = unusable(read_table(run.manifest, MANIFEST))
    assert (listed["n"], listed["by_status"], len(listed["rows"])) == (81, {"unreadable": 81}, 50)
