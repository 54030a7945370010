"""A small run folder to review: real pictures, hostile names, a mixed class, and two labels of one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from purify.storage.files import write_table
from purify.storage.locations import file_uri
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS

MARKUP = "<script>document.title='owned'</script>\"'&<img src=x onerror=\"document.title='owned'\">"
EMOJI = "\N{GRINNING FACE} Zo\N{COMBINING DIAERESIS}e \N{WAVING WHITE FLAG}\N{VARIATION SELECTOR-16}"
TURNED = "\N{RIGHT-TO-LEFT OVERRIDE}\N{ARABIC LETTER MEEM}\N{ARABIC LETTER REH} abc"
LONG = "<b>" + "x" * 297
HOSTILE = (MARKUP, EMOJI, TURNED, LONG)


@dataclass(frozen=True)
class Judged:
    """A sample with its verdict."""

    name: str
    label: str
    p_clean: float
    decision: str = "keep"
    other: str | None = None
    subcenter: int = 0
    angle: float = 40.0

    def verdict(self, evidence: list[str]) -> dict[str, Any]:
        return {
            "sample_id": self.name,
            "label": self.label,
            "subcenter": self.subcenter,
            "dominant": 0,
            "angle": self.angle,
            "angle_dominant": self.angle,
            "other_label": self.other,
            "angle_other": None if self.other is None else 55.5,
            "neighbor_agreement": 0.5,
            "p_clean": self.p_clean,
            "p_other": 1 - self.p_clean,
            "decision": self.decision,
            "new_label": self.other if self.decision == "relabel" else None,
            "reason": {"keep": "near_dominant", "relabel": "closer_to_other_label"}.get(self.decision, "open_set"),
            "evidence_ids": evidence,
            "rule": "calibrated/1",
        }


SAMPLES = [
    *(Judged(f"Ann/{i}.png", "Ann", 0.99, angle=30 + i) for i in range(6)),
    Judged("Ann/unsure.png", "Ann", 0.45, other="Bo", angle=70),
    Judged("Ann/second.png", "Ann", 0.30, "drop", subcenter=1, angle=80),
    Judged("Ann/other.png", "Ann", 0.02, "relabel", other="Bo", subcenter=1, angle=85),
    *(Judged(f"Bo/{i}.png", "Bo", 0.98, angle=35 + i) for i in range(4)),
    Judged("Bo/left.png", "Bo", 0.60, "review", other="Ann", angle=66),
    Judged("Bo/stranger.png", "Bo", 0.03, "drop", angle=92),
    Judged("Bo_2/0.png", "Bo_2", 0.95, other="Bo"),
    Judged("Bo_2/1.png", "Bo_2", 0.95, "relabel", other="Bo"),
    Judged("Bo_2/stranger.png", "Bo_2", 0.01, "drop", angle=93),
    Judged(f"{MARKUP.replace('/', '|')}.png", MARKUP, 0.52, other=EMOJI, angle=61),
    Judged(f"{EMOJI}.png", EMOJI, 0.53, other=TURNED, angle=62),
    Judged(f"{TURNED}.png", TURNED, 0.54, other=LONG, angle=63),
    Judged(f"{LONG[:200]}.png", LONG, 0.55, "relabel", other=MARKUP, angle=64),
]


def build_run(root: Path, samples: list[Judged] = SAMPLES) -> RunFolder:
    """Write the run folder, with a broken picture that has no verdict."""
    run = RunFolder(root / "run 1")
    rows = [
        {"sample_id": s.name, "uri": _draw(root / "images" / s.name, i), "label": s.label, "status": "ok",
         "width": 40, "height": 48}
        for i, s in enumerate(samples)
    ]  # fmt: skip
    rows.insert(3, {"sample_id": "Ann/broken.png", "label": "Ann", "status": "unreadable", "status_reason": "zero"})
    write_table(pa.Table.from_pylist(rows, schema=MANIFEST), run.manifest)
    verdicts = [s.verdict([other.name for other in samples if other.label == s.label][:3]) for s in samples]
    write_table(pa.Table.from_pylist(verdicts, schema=VERDICTS), run.verdicts)
    write_table(pa.Table.from_pylist(_class_report(samples), schema=CLASS_REPORT), run.class_report)
    return run


def _draw(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return file_uri(path.absolute())


def _class_report(samples: list[Judged]) -> list[dict[str, Any]]:
    rows = []
    for label in sorted({sample.label for sample in samples}):
        own = [sample for sample in samples if sample.label == label]
        row: dict[str, Any] = {"label": label, "n": len(own), "n_kept": len(own), "flag": "ok", "noise_rate": 0.1}
        if label == "Ann":
            row |= {
                "flag": "mixed",
                "split": [[f"Ann/{i}.png" for i in range(6)], ["Ann/second.png", "Ann/other.png", "Ann/gone.png"]],
            }
        if label == "Bo_2":
            row |= {
                "flag": "duplicate_of",
                "merge_with": [{"label": "Bo", "angle": 9.5, "evidence_ids": ["Bo/0.png", "Bo/gone.png"]}],
            }
        rows.append(row)
    return rows
