"""A review session: items with their evidence, labels, progress and changes of a run, as plain values."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from purify.arrays import Ids
from purify.errors import InputError
from purify.report.shown_images import with_images
from purify.review.face_images import FaceImages
from purify.review.label_view import LabelIndex
from purify.review.review_log import ReviewLog
from purify.review.review_queue import build_queue, page_of
from purify.review.samples import build_samples
from purify.review.shown_evidence import EvidenceIndex
from purify.storage.files import read_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS

#: Columns of the verdicts not shown on the page.
_HIDDEN = ("dominant", "evidence_ids")


class ReviewSession:
    """A run with its queue, its evidence and its reviews; new ones carry the name of the `reviewer`.

    `images` are folders or tars in which to look up the samples' images, for a run without their addresses.

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
        rows, _ = page_of(self._queue.views["informative"], self.log.reviewed, start=0, most=1)
        for row in rows.tolist():
            self.images.jpeg(row, "large")
            for shown in np.concatenate(list(self._evidence.of(row).values())).tolist():
                self.images.jpeg(shown, "small")

    def state(self, *, most: int) -> dict[str, Any]:
        """Initial state of a tab, with up to `most` first items."""
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
        rows, next_place = page_of(order, self.log.reviewed, start=start, most=most)
        return {
            "items": [self.item(row) for row in rows.tolist()],
            "next": next_place,
            "total": len(order),
            "reviewed": int(np.count_nonzero(self.log.reviewed[order])),
        }

    def item(self, row: int) -> dict[str, Any]:
        """A face with its verdict and evidence."""
        verdict = self.samples.verdict(row)
        label = int(self.samples.label_index[row])
        return {
            "row": row,
            **{name: _plain(value) for name, value in verdict.items() if name not in _HIDDEN},
            "photo": self._photo(row),
            "label_place": label,
            "other_place": self._labels.place.get(verdict["other_label"]),
            "class": self._class_facts(label),
            **{name: self._faces(rows) for name, rows in self._evidence.of(row).items()},
            "review": self._review(row),
        }

    def _photo(self, row: int) -> dict[str, Any] | None:
        """The number of faces in the photo of a face, and why this one; None for an image that was not aligned."""
        photo = self.samples.photos.select(["photo_uri", "faces", "face_choice"]).slice(row, 1).to_pylist()[0]
        return None if photo["faces"] is None else {"faces": photo["faces"], "why": photo["face_choice"]}

    def search(self, words: str, *, most: int) -> list[dict[str, Any]]:
        """Labels that contain `words`; without words, those with a proposed split or merge, or a weak majority."""
        return [
            {"place": place, "label": self.samples.labels[place], **self._class_facts(place)}
            for place in self._labels.search(words, most=most)
        ]

    def label(self, label: int) -> dict[str, Any]:
        """A label with its groups and merges."""
        groups = self._labels.groups(label)
        return {
            "place": label,
            "label": self.samples.labels[label],
            **self._class_facts(label),
            "groups": [{"kind": g.kind, "number": g.number, "faces": self._faces(g.rows)} for g in groups],
            "merges": [self._merge(merge) for merge in self._labels.merges(label)],
        }

    def _merge(self, merge: Mapping[str, Any]) -> dict[str, Any]:
        place = self._labels.place[merge["label"]]
        theirs = self.samples.rows_of(place)
        return {
            "place": place,
            "label": merge["label"],
            "n": len(theirs),
            "angle": merge["angle"],
            "faces": self._faces(self.samples.rows_named(merge["evidence_ids"] or [])),
            "theirs": self._faces(theirs[:8]),
        }

    def _class_facts(self, label: int) -> dict[str, Any]:
        facts = self._labels.facts(label)
        return {
            "n": len(self.samples.rows_of(label)),
            "flag": facts.get("flag"),
            "noise_rate": _plain(facts.get("noise_rate")),
            "version": self.log.version,
            "reviewed": self._reviewed(label),
        }

    def _reviewed(self, label: int) -> int:
        return int(np.count_nonzero(self.log.reviewed[self.samples.rows_of(label)]))

    def _faces(self, rows: Ids) -> list[dict[str, Any]]:
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
