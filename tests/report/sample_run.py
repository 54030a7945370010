"""A small run folder with hostile names, and a parser for its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from purify.evaluation.gain import compare_models
from purify.storage.files import write_table
from purify.storage.locations import file_uri
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS, Decision, Reason

HOSTILE = "<script>alert('x')</script>&\"_<b>"

_VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}


@dataclass
class Sample:
    """A row of the manifest and, where `angle` is given, its verdict."""

    name: str
    label: str
    angle: float | None = None
    truth: str | None = None
    other: tuple[str, float] | None = None
    keep: bool = True
    reason: Reason = Reason.NEAR_DOMINANT
    new_label: str | None = None
    p_clean: float | None = None
    subcenter: int = 0
    evidence: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision:
        if self.keep:
            return Decision.KEEP
        if self.new_label is not None:
            return Decision.RELABEL
        return Decision.REVIEW if self.reason is Reason.SECOND_IDENTITY else Decision.DROP


SAMPLES = [
    Sample("a/0.png", "a", 40, "a", ("b", 80)),
    Sample("a/1.png", "a", 74.96, "b", ("b", 60.25)),
    Sample("a/2.png", "a", 91.26, "b", ("b", 41.5), False, Reason.CLOSER_TO_OTHER_LABEL, subcenter=1),
    Sample("b/0.png", "b", 50, "b", ("a", 85)),
    Sample("b/1.png", "b", 99, "", ("a", 88), keep=False, reason=Reason.FAR_FROM_DOMINANT),
    Sample(f"{HOSTILE.replace('/', '|')}.png", HOSTILE, 95, HOSTILE, None, keep=False, reason=Reason.FAR_FROM_DOMINANT),
    Sample("b/broken.png", "b", None, "b"),
]


@dataclass
class Page(HTMLParser):
    """A parsed page: text of each section by id, rows of cells of its tables, and what it refers to."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        section = str(attributes.get("id") or (self._open[-1][1] if self._open else ""))
        if tag == "tr":
            self.rows.setdefault(section, []).append([])
        if tag in ("td", "th"):
            self.rows[section][-1].append("")
        if tag not in _VOID:
            self._open.append((tag, section))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> without a start"
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not self._open:
            assert not data.strip()
            return
        section = self._open[-1][1]
        self.texts.setdefault(section, []).append(data)
        if any(tag in ("td", "th") for tag, _ in self._open):
            self.rows[section][-1][-1] += data

    def text(self, section: str) -> str:
        return " ".join("".join(self.texts.get(section, [])).split())


def parse(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page._open == []
    return page


def build_run(
    root: Path,
    samples: Sequence[Sample] = SAMPLES,
    *,
    pictures: bool = True,
    rule: str = "official/1",
    structure: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunFolder:
    """A run of the `samples`; `structure` is label -> columns of its row of the class report."""
    run = RunFolder(root / "run_1")
    uris = [_draw(root / "images" / f"{i}.png", i) if pictures else None for i in range(len(samples))]
    judged = [sample for sample in samples if sample.angle is not None]
    write_table(_manifest(samples, uris), run.manifest)
    write_table(_verdicts(judged, rule), run.verdicts)
    write_table(_class_report(judged, structure or {}), run.class_report)
    return run


def structured_run(root: Path) -> RunFolder:
    """A calibrated run with a mixed label c, a label b__2 that is b, and two images of b under a."""
    far, two = Reason.CLOSER_TO_OTHER_LABEL, Reason.SECOND_IDENTITY
    samples = [
        *[Sample(f"a/{i}.png", "a", 40 + i, "a", ("b", 80), p_clean=0.99) for i in range(2)],
        Sample("a/8.png", "a", 55, "a", ("b", 70), p_clean=0.6),
        *[Sample(f"a/{9 + i}.png", "a", 88 + i, "b", ("b", 40), False, far, "b", 0.05) for i in range(2)],
        *[Sample(f"b/{i}.png", "b", 64 + i, "b", ("a", 80), p_clean=0.98) for i in range(2)],
        Sample("b__2/0.png", "b__2", 30, "b", ("b", 20), False, Reason.DUPLICATE_OF, "b", 0.02),
        Sample("c/0.png", "c", 95, "", None, False, Reason.OPEN_SET, None, 0.01, 1),
        *[Sample(f"c/{1 + i}.png", "c", 50, "c", ("a", 80), p_clean=0.65) for i in range(2)],
        *[Sample(f"c/{3 + i}.png", "c", 60, "a", ("a", 80), False, two, None, 0.35, 1) for i in range(2)],
    ]
    proposed = {"label": "b", "angle": 12.5, "evidence_ids": ["b__2/0.png", "b/0.png"]}
    structure = {
        "c": {"flag": "mixed", "n": 4, "split": [["c/1.png", "c/2.png"], ["c/3.png", "c/4.png"]]},
        "b__2": {"flag": "duplicate_of", "merge_with": [proposed]},
        "b": {"merge_with": [{**proposed, "label": "b__2"}]},
    }
    return build_run(root, samples, rule="calibrated/1", structure=structure)


def evaluation(*models: str, seed: int = 0) -> dict[str, Any]:
    quality = {"raw": 0.6, "random": 0.5, "purified": 1.3, "oracle": 1.5}
    same, noise = np.arange(600) % 2 == 0, np.random.default_rng(seed).normal(0, 1, 600)
    scores = {name: np.tanh((noise + quality[name] * same) / 4) for name in models}
    counts = {
        "file": "pairs.txt",
        "given": 1000,
        "missing": 7,
        "excluded_identity": 390,
        "excluded_image": 3,
        "used": 600,
        "same": 300,
        "different": 300,
        "without_identity": 0,
        "folds": 10,
    }
    n_train = {name: 1000 + len(name) for name in models}
    return {"pairs": counts, **compare_models(scores, same, np.arange(600) // 60, n_train, bootstrap=100, seed=0)}


def _draw(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return file_uri(path.absolute())


def _manifest(samples: Sequence[Sample], uris: Sequence[str | None]) -> pa.Table:
    rows = [
        {
            "sample_id": sample.name,
            "uri": uri,
            "label": sample.label,
            "true_label": sample.truth,
            "status": "ok" if sample.angle is not None else "unreadable",
            "status_reason": None if sample.angle is not None else f"truncated: {HOSTILE}",
        }
        for sample, uri in zip(samples, uris, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def _score(sample: Sample) -> float:
    return float(1 / (1 + np.exp((float(sample.angle or 0) - 75) / 5)))


def _verdicts(samples: Sequence[Sample], rule: str) -> pa.Table:
    rows = [
        {
            "sample_id": sample.name,
            "label": sample.label,
            "angle_dominant": sample.angle,
            "other_label": sample.other[0] if sample.other else None,
            "angle_other": sample.other[1] if sample.other else None,
            "subcenter": sample.subcenter,
            "dominant": 0,
            "p_clean": _score(sample) if sample.p_clean is None else sample.p_clean,
            "p_other": 0.9 if sample.new_label else 0.1,
            "decision": sample.decision.value,
            "new_label": sample.new_label,
            "reason": sample.reason.value,
            "rule": rule,
            "evidence_ids": list(sample.evidence),
        }
        for sample in samples
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def _class_report(samples: Sequence[Sample], structure: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    rows = []
    for label in dict.fromkeys(sample.label for sample in samples):
        own = [sample for sample in samples if sample.label == label]
        kept = sum(sample.keep for sample in own)
        flag = "too_few" if len(own) < 2 else "ok"
        share = {"dominant_share": 0.75, "noise_rate": 1 - kept / len(own)}
        rows.append({"label": label, "n": len(own), "n_kept": kept, "flag": flag, **share, **structure.get(label, {})})
    return pa.Table.from_pylist(rows, schema=CLASS_REPORT)


@dataclass
class RunRow:
    """A verdict of which only some columns matter."""

    sample_id: str
    label: str
    p_clean: float = 0.9
    angle: float = 40.0
    decision: str = "keep"
    other: str | None = None
    reason: str = "near_dominant"
    subcenter: int = 0


def verdict_table(rows: Sequence[RunRow]) -> pa.Table:
    values = [
        {
            "sample_id": row.sample_id,
            "label": row.label,
            "p_clean": row.p_clean,
            "p_other": 0.1,
            "angle_dominant": row.angle,
            "decision": row.decision,
            "other_label": row.other,
            "reason": row.reason,
            "subcenter": row.subcenter,
            "dominant": 0,
            "rule": "calibrated/1",
        }
        for row in rows
    ]
    return pa.Table.from_pylist(values, schema=VERDICTS)
