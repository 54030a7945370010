"""A review session: items with their evidence, labels, progress and changes of a run, as plain values."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from purify.errors import InputError
from purify.report.shown_images import with_images
from purify.review.face_images import FaceImages
from purify.review.label_view import Group, LabelIndex
from purify.review.review_log import ReviewLog
from purify.review.review_queue import build_queue, page_of
from purify.review.samples import Rows, build_samples
from purify.review.shown_evidence import EvidenceIndex
from purify.storage.files import read_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS

_FACTS = (
    "angle",
    "angle_dominant",
    "angle_other",
    "decision",
    "dominant_share",
    "label",
    "neighbor_agreement",
    "new_label",
    "other_label",
    "p_clean",
    "p_other",
    "reason",
    "rule",
    "sample_id",
    "subcenter",
)


class ReviewSession:
    """A run with its queue, its evidence and its reviews.

    Parameters
    ----------
    run, reviewer
        The run, and the name that its new reviews carry.
    images
        Folders or tars in which the samples' images are looked up, for a run that doesn't know them.

    Raises
    ------
    InputError
        If the folder is no run with verdicts, a file in it is damaged, or `images` hold none of its images.
    """

    def __init__(self, run: RunFolder, reviewer: str, *, images: Sequence[Location] = ()) -> None:
        if not run.manifest.exists():
            raise InputError(
                f"{run.root}: no run with verdicts in this folder; give the folder of `purify run-flow` or "
                "`purify analyze --out`"
            )
        verdicts = read_table(run.verdicts, VERDICTS)
        if not len(verdicts):
            raise InputError(f"{run.verdicts}: no verdicts, so there is nothing to review")
        self.samples = build_samples(with_images(read_table(run.manifest, MANIFEST), images), verdicts)
        report = read_table(run.class_report, CLASS_REPORT) if run.class_report.exists() else CLASS_REPORT.empty_table()
        self._name = run.root.resolve().name
        self._reviewer = reviewer
        self._start = secrets.token_hex(4)
        self._queue = build_queue(self.samples)
        self._evidence = EvidenceIndex(self.samples)
        self._labels = LabelIndex(self.samples, report)
        self._place = {label: place for place, label in enumerate(self.samples.labels)}
        self.images = FaceImages(self.samples)
        self.log = ReviewLog(run.reviews, self.samples.ids, reviewer)

    @property
    def views(self) -> Iterable[str]:
        """Names of the views."""
        return self._queue.views.keys()

    def has_label(self, label: int) -> bool:
        """Whether there is a label at this place."""
        return 0 <= label < len(self.samples.labels)

    def warm_up(self) -> None:
        """Read the images of the first face: indexing a tar at its first use may take seconds."""
        rows = page_of(self._queue.views["informative"], self.log.reviewed, start=0, most=1).rows.tolist()
        for row in rows:
            evidence = self._evidence.of(row)
            self.images.jpeg(row, "large")
            for shown in (*evidence.own, *evidence.other, *evidence.neighbors):
                self.images.jpeg(int(shown), "small")

    def state(self, *, most: int) -> dict[str, Any]:
        """Initial state of a tab, with its first items, up to `most`."""
        return {
            **self._progress(),  # first: a change in the meantime is reported twice rather than never
            "page": self.page("informative", None, start=0, most=most),
            "run": self._name,
            "reviewer": self._reviewer,
            "start": self._start,
            "images": bool(self.samples.uris) and any(uri is not None for uri in self.samples.uris),
        }

    def changes(self, seen: int, *, also: Iterable[int] = ()) -> dict[str, Any]:
        """Reviews changed or removed (null) after a version, those of `also`, counts of their labels, and progress."""
        progress = self._progress()  # before the rows: see `state`
        rows = dict.fromkeys([*self.log.changed_since(seen).tolist(), *also])
        labels = {int(self.samples.label_index[row]) for row in rows}
        return {
            "reviews": {row: self._review(row) for row in rows},
            "labels": {label: self._reviewed(label) for label in sorted(labels)},
            **progress,
        }

    def page(self, view: str, label: int | None, *, start: int, most: int) -> dict[str, Any]:
        """Undecided items of a view, or of one label in it."""
        order = self._queue.views[view]
        if label is not None:
            order = order[self.samples.label_index[order] == label]
        page = page_of(order, self.log.reviewed, start=start, most=most)
        return {
            "items": [self.item(row) for row in page.rows.tolist()],
            "next": page.next_place,
            "total": len(order),
            "reviewed": int(np.count_nonzero(self.log.reviewed[order])),
        }

    def item(self, row: int) -> dict[str, Any]:
        """A face with its verdict and evidence."""
        verdict = self.samples.verdict(row)
        evidence = self._evidence.of(row)
        label = int(self.samples.label_index[row])
        other = self._place.get(verdict["other_label"])
        return {
            "row": row,
            **{name: _plain(verdict[name]) for name in _FACTS},
            "label_place": label,
            "other_place": other,
            "class": self._class_facts(label),
            "own": self._faces(evidence.own),
            "other": self._faces(evidence.other),
            "neighbors": self._faces(evidence.neighbors),
            "review": self._review(row),
        }

    def search(self, words: str, *, most: int) -> list[dict[str, Any]]:
        """Labels that contain `words`; without words, those with a proposed split or merge, or a weak majority."""
        return [
            {"place": place, "label": self.samples.labels[place], **self._class_facts(place)}
            for place in self._labels.search(words, most=most)
        ]

    def label(self, label: int) -> dict[str, Any]:
        """A label with its groups and merges."""
        page = self._labels.page(label)
        return {
            "place": label,
            "label": self.samples.labels[label],
            **self._class_facts(label),
            "groups": [self._group(group) for group in page.groups],
            "merges": [
                {
                    "place": merge.label,
                    "label": self.samples.labels[merge.label],
                    "n": len(self.samples.rows_of(merge.label)),
                    "angle": merge.angle,
                    "faces": self._faces(merge.evidence),
                    "theirs": self._faces(self.samples.rows_of(merge.label)[:8]),
                }
                for merge in page.merges
            ],
        }

    def _group(self, group: Group) -> dict[str, Any]:
        return {"kind": group.kind, "number": group.number, "faces": self._faces(group.rows)}

    def _class_facts(self, label: int) -> dict[str, Any]:
        rows = self.samples.rows_of(label)
        facts: Mapping[str, Any] = self._labels.facts(label)
        return {
            "n": len(rows),
            "flag": facts.get("flag"),
            "noise_rate": _plain(facts.get("noise_rate")),
            "version": self.log.version,
            "reviewed": self._reviewed(label),
        }

    def _reviewed(self, label: int) -> int:
        return int(np.count_nonzero(self.log.reviewed[self.samples.rows_of(label)]))

    def _faces(self, rows: Rows) -> list[dict[str, Any]]:
        chosen = self.samples.verdicts.select(["label", "decision", "new_label", "angle_dominant", "sample_id"])
        verdicts = chosen.take(pa.array(rows)).to_pylist()
        return [
            {"row": row, **verdict, "angle_dominant": _plain(verdict["angle_dominant"]), "review": self._review(row)}
            for row, verdict in zip(rows.tolist(), verdicts, strict=True)
        ]

    def _review(self, row: int) -> dict[str, Any] | None:
        standing = self.log.standing(row)
        return None if standing is None else asdict(standing)

    def _progress(self) -> dict[str, Any]:
        reviewed, borderline = self.log.reviewed, self._queue.borderline
        return {
            "version": self.log.version,
            "n": len(self.samples),
            "n_reviewed": int(np.count_nonzero(reviewed)),
            "n_borderline": int(np.count_nonzero(borderline)),
            "n_borderline_reviewed": int(np.count_nonzero(reviewed & borderline)),
            "left": {name: int(np.count_nonzero(~reviewed[order])) for name, order in self._queue.views.items()},
        }


def _plain(value: Any) -> Any:
    """A JSON value: NaN becomes None."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
