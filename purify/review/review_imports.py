"""Reviews made in other tools: what Label Studio and FiftyOne export, as rows of `REVIEWS`.

They belong to what `purify.export.review_formats` writes, and read its fields: the ``decision`` and ``new_label`` of
Label Studio's annotations (JSON and JSON-MIN); the tags ``keep``, ``drop``, ``relabel`` and ``review`` of FiftyOne's
samples, and changes of ``ground_truth``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from purify.errors import InputError
from purify.storage.files import read_json
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_manifest, ok_rows
from purify.tables.reviews import count_reviews, merge_reviews, read_reviews, update_reviews
from purify.tables.schema import REVIEWS, Decision

_DECISIONS = frozenset(Decision)
_SAMPLES_FILE = "samples.json"
_SHOWN = 5


@dataclass(frozen=True)
class _Answer:
    """What a tool's export says of one sample; `decision` may be anything or missing."""

    sample_id: Any
    decision: Any
    new_label: Any
    reviewer: str
    at: datetime


def import_reviews(run: Path, given: Path) -> dict[str, int]:
    """Merge the reviews in the file `given` into ``reviews.parquet`` of the folder `run`.

    `given` is an export of Label Studio or FiftyOne (its folder or ``samples.json``), or a ``reviews.parquet``. Where
    the tool keeps no times, the reviews are as old as the file; importing it again changes nothing.

    Returns
    -------
    dict
        Numbers of samples ``reviewed``, and of those that the run doesn't have (``reviews_ignored``).

    Raises
    ------
    InputError
        If the file is none of these, or has invalid reviews; all are named at once.
    """
    folder = RunFolder(run)
    samples = ok_rows(load_manifest(folder.manifest))["sample_id"]
    reviews = read_reviews(given) if given.suffix == ".parquet" else read_tool_reviews(given)
    counts = count_reviews(reviews, samples)
    if not counts["reviewed"]:
        raise InputError(f"{given}: holds no review of a sample of {run}; give the export of this run's samples")
    update_reviews(folder.reviews, lambda present: merge_reviews(present, reviews))
    return counts


def read_tool_reviews(given: Path) -> pa.Table:
    """Reviews (schema `REVIEWS`, oldest first) in an export of Label Studio or FiftyOne; else InputError."""
    path = given / _SAMPLES_FILE if given.is_dir() else given
    content = read_json(path)
    written = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    try:
        answers = list(_answers(content, written))
    except (AttributeError, TypeError) as error:  # other JSON than expected
        raise InputError(f"{path}: neither tasks of Label Studio (JSON or JSON-MIN) nor a FiftyOneDataset") from error
    return _as_reviews(path, answers)


def _answers(content: Any, written: datetime) -> Iterator[_Answer]:
    if isinstance(content, list):
        for task in content:
            yield from _of_label_studio(task, written)
    else:
        for sample in content.get("samples"):
            yield from _of_fiftyone(sample, written)


def _of_fiftyone(sample: Mapping[str, Any], written: datetime) -> Iterator[_Answer]:
    """The review of a sample: a changed label, or one tag with the name of a decision."""
    tags = sorted(_DECISIONS.intersection(sample.get("tags") or ()))
    label, proposed = (_label_of(sample.get(name)) for name in ("ground_truth", "proposed"))
    changed = None if label == sample.get("exported_label") else label
    if changed is not None and Decision.RELABEL not in tags:
        tags.append(Decision.RELABEL)
    if tags:
        decision = tags[0] if len(tags) == 1 else " and ".join(tags)
        yield _Answer(sample.get("purify_id"), decision, changed or proposed, "fiftyone", written)


def _label_of(classification: Any) -> Any:
    return classification.get("label") if isinstance(classification, dict) else None


def _of_label_studio(task: Mapping[str, Any], written: datetime) -> Iterator[_Answer]:
    """The reviews of a task: one for each annotation, or that of a task in the short form, JSON-MIN."""
    if "annotations" not in task:
        if task.get("decision") is not None and "annotator" in task:
            who, when = task["annotator"], _time(task.get("updated_at"), written)
            yield _Answer(task.get("sample_id"), _one(task["decision"]), _one(task.get("new_label")), _name(who), when)
        return
    sample_id = (task.get("data") or {}).get("sample_id")
    for annotation in task["annotations"]:
        values = {item.get("from_name"): item.get("value") or {} for item in annotation.get("result") or ()}
        if annotation.get("was_cancelled") or "decision" not in values:
            continue
        decision = _one(values["decision"].get("choices"))
        label = _one(values.get("new_label", {}).get("text"))
        when = _time(annotation.get("updated_at") or annotation.get("created_at"), written)
        yield _Answer(sample_id, decision, label, _name(annotation.get("completed_by")), when)


def _one(value: Any) -> Any:
    """The only value of a list, which some forms leave out."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _name(who: Any) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return "label-studio" if who is None else f"label-studio {who}"


def _time(text: Any, otherwise: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return otherwise
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _as_reviews(path: Path, answers: Sequence[_Answer]) -> pa.Table:
    """The answers as a table; InputError naming those that are no reviews."""
    if problems := [problem for answer in answers if (problem := _problem(answer))]:
        more = f"; {len(problems)} such reviews" if len(problems) > _SHOWN else ""
        raise InputError(f"{path}: {'; '.join(problems[:_SHOWN])}{more}")
    ordered = sorted(answers, key=lambda answer: answer.at)
    columns = [
        [answer.sample_id for answer in ordered],
        [answer.decision for answer in ordered],
        [answer.new_label if answer.decision == Decision.RELABEL else None for answer in ordered],
        [answer.reviewer for answer in ordered],
        [answer.at for answer in ordered],
    ]
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, REVIEWS, strict=True)], schema=REVIEWS
    )


def _problem(answer: _Answer) -> str | None:
    if not isinstance(answer.sample_id, str) or not answer.sample_id:
        return "a review without the id of its sample (sample_id, or purify_id in FiftyOne); export with purify first"
    if not isinstance(answer.decision, str) or answer.decision not in _DECISIONS:
        return f"{answer.sample_id}: decision {answer.decision!r}; expected one of {', '.join(Decision)}"
    if answer.decision == Decision.RELABEL and not (isinstance(answer.new_label, str) and answer.new_label.strip()):
        return f"{answer.sample_id}: relabel without a new label"
    return None
