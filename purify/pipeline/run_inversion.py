"""The faces behind the sub-centers of a run's labels: which network, which labels, and which of their sub-centers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.config import PurifyConfig
from purify.inversion.targets import Target, TargetSpace
from purify.models.checkpoint import FILE_NAME, load_checkpoint
from purify.pipeline.inversion_stage import InversionRequest
from purify.report.label_findings import by_label
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, VERDICTS, Flag

#: Sub-centers of a label that are shown: the dominant one and the next.
_SHOWN = 2
_RANK = {Flag.MIXED.value: 0, Flag.OK.value: 1, Flag.WEAK_MAJORITY.value: 1}

NO_NETWORK = "no network of this run was trained on its labels"


def run_request(run: RunFolder, judging: Path | None, config: PurifyConfig) -> InversionRequest | None:
    """What to invert for a run; None if none of its networks was trained on its labels.

    `judging` is the checkpoint folder whose sub-centers are those of the verdicts: each label's dominant one and the
    next are shown. Without one, the sub-centers belong to no network, and each label has the face of its class in the
    purified model.
    """
    folder = judging or run.model("purified") / "checkpoint"
    if not (folder / FILE_NAME).is_file():
        return None
    space = TargetSpace(load_checkpoint(folder))
    report, verdicts = read_table(run.class_report, CLASS_REPORT), read_table(run.verdicts, VERDICTS)
    labels = shown_labels(report, space.checkpoint.labels, most=config.invert.labels)
    if judging is None or space.checkpoint.subcenters == 1:
        targets = space.labels(labels, each_subcenter=False)
    else:
        targets = [Target("subcenter", label, k) for label, k in _largest_subcenters(verdicts, labels)]
    return InversionRequest(folder, space, targets) if targets else None


def shown_labels(report: pa.Table, known: tuple[str, ...], *, most: int) -> list[str]:
    """At most `most` of the `known` labels: mixed ones first, then those with the largest share of noise."""
    rows = report.filter(pc.is_in(report["label"], pa.array(known, pa.string()))).select(
        ["label", "noise_rate", "flag"]
    )
    ranked = [(_RANK.get(row["flag"], 2), -(row["noise_rate"] or 0), row["label"]) for row in rows.to_pylist()]
    return [label for *_, label in sorted(ranked)[:most]]


def _largest_subcenters(verdicts: pa.Table, labels: list[str]) -> list[tuple[str, int]]:
    """Label and number of its dominant sub-center, then of the one with the most other images."""
    known = verdicts.filter(verdicts["subcenter"].is_valid())
    places = by_label(known, labels)
    found = []
    for label in labels:
        own = known.take(pa.array(places[label]))
        counts = np.bincount(own["subcenter"].to_numpy())
        largest = np.argsort(-counts, kind="stable")[:_SHOWN]
        found += [(label, int(number)) for number in largest if counts[number]]
    return found
