"""The log of updates in ``run.json``: the last one, and a list of all with changes.

Each entry is written before the state it describes is overwritten, so an interrupted and resumed update ends with the
same log as an undisturbed one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from purify.errors import InputError
from purify.pipeline.retraining import NOTHING_NEW, Because
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.manifest_diff import compare_manifests
from purify.tables.schema import MANIFEST


@dataclass(frozen=True)
class Update:
    """The entry ``growth`` of ``run.json``; finished updates with changes are also listed in ``updates``.

    Attributes
    ----------
    update
        Number of the update; 1 is the first run.
    finished
        False while the update is running.
    nothing_new
        Whether a later check of the source found nothing new; the counts are then zero.
    new, changed, gone
        Samples compared with the previous manifest: new ids; other bytes, label or status; missing ids.
    embedded
        Number of embedded images, the largest of any round.
    embedded_by_stage
        The number of each stage.
    new_since_training, new_share
        Usable images unknown to the present models, and their share.
    drift_degrees
        Excess of their median angle over that of the other images; None: not measured.
    trained
        Whether the models were trained.
    choosing
        True while the training table is being written.
    because
        One of `Because`, for training or not.
    why
        The same in words.
    trained_on
        Model -> number of the update with its training images.
    """

    update: int = 1
    finished: bool = False
    nothing_new: bool = False
    new: int = 0
    changed: int = 0
    gone: int = 0
    embedded: int = 0
    embedded_by_stage: dict[str, int] = field(default_factory=dict)
    new_since_training: int = 0
    new_share: float = 0.0
    drift_degrees: float | None = None
    trained: bool = False
    choosing: bool = False
    because: Because | None = None
    why: str = ""
    trained_on: dict[str, int] = field(default_factory=dict)


def read_update(run: RunFolder) -> Update | None:
    """The last update of a run, finished or not."""
    values = run.read_info().get("growth")
    if values is None:
        return None
    known = {entry.name: values[entry.name] for entry in fields(Update) if entry.name in values}
    because = known.get("because")
    try:
        return Update(**{**known, "because": None if because is None else Because(because)})
    except ValueError as error:
        raise InputError(f"{run.info}: growth.because: {because!r} is unknown to this release of purify") from error


def begin_update(run: RunFolder) -> Update:
    """Begin an update, or continue the unfinished one; the previous manifest is kept for comparison."""
    update = read_update(run)
    if update is not None and not update.finished:
        return update
    if run.manifest.exists():
        write_table(read_table(run.manifest, MANIFEST), run.manifest_before)
    number = len(_finished(run)) + 1
    return _write(run, Update(update=number, trained_on={} if update is None else update.trained_on))


def note(run: RunFolder, **entries: Any) -> Update:
    """Set entries of the running update."""
    return _write(run, replace(begin_update(run), **entries))


def note_embedded(run: RunFolder, stage: str, count: int) -> None:
    """Add to the number of images embedded by a stage."""
    counts = begin_update(run).embedded_by_stage
    counts = counts | {stage: counts.get(stage, 0) + count}
    note(run, embedded_by_stage=counts, embedded=max(counts.values()))


def note_table(run: RunFolder, model: str) -> None:
    """Enter that `model` is trained on the images of this update."""
    update = begin_update(run)
    note(run, trained_on=update.trained_on | {model: update.update})


def note_changes(run: RunFolder) -> None:
    """Enter the numbers of new, changed and gone samples since the previous manifest."""
    now = read_table(run.manifest, MANIFEST)
    before = read_table(run.manifest_before, MANIFEST) if run.manifest_before.exists() else MANIFEST.empty_table()
    changes = compare_manifests(before, now)
    note(run, new=changes.new, changed=changes.changed, gone=changes.gone)


def finish_update(run: RunFolder) -> None:
    """Close the update, and list it if anything changed: both at once, or neither after a kill."""
    update = replace(begin_update(run), finished=True)
    if update.new or update.changed or update.gone or update.trained:
        run.update_info(growth=asdict(update), updates=[*_finished(run), asdict(update)])
    else:
        _write(run, update)


def note_nothing_new(run: RunFolder) -> None:
    """Enter a check of the source that found nothing new."""
    update = replace(
        read_update(run) or Update(),
        finished=True,
        nothing_new=True,
        new=0,
        changed=0,
        gone=0,
        embedded=0,
        embedded_by_stage={},
        trained=False,
        because=Because.NOTHING_NEW,
        why=NOTHING_NEW,
    )
    _write(run, update)


def _write(run: RunFolder, update: Update) -> Update:
    run.update_info(growth=asdict(update))
    return update


def _finished(run: RunFolder) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = run.read_info().get("updates", [])
    return listed
