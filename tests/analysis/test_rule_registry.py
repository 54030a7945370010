"""Rules of users: functions, and entry points of installed packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.analysis.rules.angle_rules import OFFICIAL
from purify.analysis.rules.function_rule import FunctionRule, as_rule
from purify.analysis.rules.registry import get_rule, gives_probabilities, rule_names
from purify.analysis.rules.rule import RuleContext
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig, PurifyConfig
from purify.errors import InputError

CODE = """
import numpy as np

def short(context):
    return np.linalg.norm(context.embeddings, axis=1) < context.config.threshold

def half(context):
    return np.full(len(context.label_index), 0.5)

half.version = 7
half.probabilities = True
broken = 3
"""
ENTRIES = """[purify.rules]
short = own_rules:short
half = own_rules:half
broken = own_rules:broken
absent = own_rules:absent
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with rules."""
    place = tmp_path / "site"
    info = place / "own_rules-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "own_rules.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)
    return place


def judged(data, rule: object, **config) -> Analysis:
    return analyze(
        data.sample_ids,
        data.labels,
        data.embeddings,
        data.class_labels,
        AnalyzeConfig(**config),
        space=SubcenterSpace(data.embeddings, data.subcenters),
        rule=as_rule(rule),
    )


def test_rules_of_an_installed_package_are_found_by_name(plugin: Path) -> None:
    assert rule_names() == ["calibrated", "official", "paper", "absent", "broken", "half", "short"]
    assert (get_rule("half").name, get_rule("half").version) == ("half", 7)
    assert gives_probabilities("half/7")
    assert not gives_probabilities("short/1")
    assert not gives_probabilities("removed-since/1")
    choice = PurifyConfig.model_json_schema()["$defs"]["AnalyzeConfig"]["properties"]["rule"]["enum"]
    assert choice == rule_names()
    with pytest.raises(InputError, match="rule broken: expected a function"):
        get_rule("broken")
    with pytest.raises(InputError, match="rule absent: can't load own_rules:absent: AttributeError"):
        get_rule("absent")


def test_the_command_the_report_and_the_benchmark_know_the_rule_of_a_package(plugin: Path, tmp_path: Path) -> None:
    from benchmarks.methods import all_methods, our_rule
    from benchmarks.scenarios import read_scenario

    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(6), 8)
    vectors = rng.normal(size=(6, 8))[people] + 0.1 * rng.normal(size=(48, 8))
    vectors[:5] *= 100
    ids, labels = [f"{i:02d}" for i in range(48)], [f"p{i}" for i in people]
    table, embeddings, out = tmp_path / "table.parquet", tmp_path / "embeddings.parquet", tmp_path / "out"
    pq.write_table(pa.table({"path": ids, "label": labels, "true_label": labels}), table)
    pq.write_table(pa.table({"path": ids, "embedding": vectors.astype(np.float32).tolist()}), embeddings)
    paths = [str(plugin), *sys.path]
    command = [sys.executable, "-m", "purify", "analyze", table, "--embeddings", embeddings, "--out", out]
    subprocess.run(
        [*command, "--rule", "short", "--set", "analyze.threshold=50"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        check=True,
        capture_output=True,
    )
    verdicts = pq.read_table(out / "verdicts.parquet")
    assert verdicts["rule"].to_pylist() == ["short/1"] * 48
    assert verdicts["decision"].to_pylist() == ["drop"] * 5 + ["keep"] * 43
    assert "short" in all_methods()
    scores = our_rule(read_scenario("own", table, embeddings), 0, rule="half")
    assert scores.meaning == "probability"
    assert (scores.trust == 0.5).all()


def test_a_mask_keeps_and_says_why(noisy_set) -> None:
    official = judged(noisy_set, OFFICIAL).verdicts

    def by_angle(context: RuleContext) -> np.ndarray:
        return context.angles.cos_dominant.astype(np.float64) > np.cos(np.radians(context.config.threshold))

    own = judged(noisy_set, by_angle).verdicts
    assert set(own["rule"].to_pylist()) == {"by_angle/1"}
    for name in ("decision", "p_clean", "p_other", "other_label", "angle_other", "evidence_ids"):
        kept = pa.compute.equal(own["decision"], "keep")
        assert own.filter(kept)[name].equals(official.filter(kept)[name]), name
    assert set(own["reason"].to_pylist()) <= {"near_dominant", "far_from_dominant", "closer_to_other_label"}


def test_scores_decide_at_one_half_and_are_probabilities_if_they_say_so(noisy_set) -> None:
    def scores(context: RuleContext) -> np.ndarray:
        return np.where(np.arange(len(context.label_index)) % 4 == 0, 0.25, 0.75)

    plain = judged(noisy_set, scores)
    assert not plain.probabilities
    assert set(plain.verdicts["p_clean"].to_pylist()) == {0.25, 0.75}
    assert plain.verdicts["decision"].to_pylist().count("drop") == len(noisy_set.labels) // 4
    dropped = {row["label"]: 1 - row["n_kept"] / row["n"] for row in plain.class_report.to_pylist()}
    for row in plain.class_report.to_pylist():
        assert row["noise_rate"] == pytest.approx(dropped[row["label"]])
    scores.probabilities = True
    claimed = judged(noisy_set, scores)
    assert claimed.probabilities
    assert claimed.class_report["noise_rate"].to_numpy().mean() == pytest.approx(0.375, abs=0.01)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([True], r"rule f: returned bool of shape \(1,\)"),
        (np.zeros(72, int), "rule f: returned int64"),
        (np.full(72, 1.5), r"scores outside of \[0, 1\]"),
        (np.full(72, np.nan), r"scores outside of \[0, 1\]"),
    ],
)
def test_an_answer_that_is_none_is_refused(noisy_set, answer: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judged(noisy_set, FunctionRule("f", lambda _: answer))


def test_the_run_says_what_a_rule_meant(tmp_path: Path, noisy_set) -> None:
    """A rule that was passed as a function is not installed when the report is written."""
    from purify.pipeline.judging_rule import judging_rule
    from purify.report.run_tables import RunTables

    def scores(context: RuleContext) -> np.ndarray:
        return np.full(len(context.label_index), 0.75)

    scores.probabilities = True
    analysis = judged(noisy_set, scores)
    info = json.loads(json.dumps({"judged_by": asdict(judging_rule(analysis, "scores"))}))
    run = RunTables("r", analysis.verdicts, analysis.verdicts, analysis.class_report, info, None)
    assert run.calibrated
    assert not RunTables("r", analysis.verdicts, analysis.verdicts, analysis.class_report, {}, None).calibrated
