"""Damaged files of a run: named, moved aside and made again where a stage can, else refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purify.errors import InputError
from purify.pipeline.fingerprint import unlike_record, unreadable_records
from purify.storage.integrity import (
    entry_of,
    find_all_damage,
    find_damage,
    record_found,
    recorded_files,
    renew_damaged_entry,
)
from purify.storage.own_files import move_aside
from purify.storage.run_folder import RunFolder

#: What no stage can make again.
_IRREPLACEABLE = ("run.json", "reviews.parquet")
_UNLIKE = "its bytes are not those that its stage recorded"
_LOST_COMPARISON = "growth/manifest.parquet"


def mend(run: RunFolder) -> list[str]:
    """Move the damaged files of a run aside, so that the stages make them again; returns a sentence for each.

    All files are checked, by the hash recorded when they were written, or by the record of their stage. The caller
    holds the run's lock.

    Raises
    ------
    InputError
        If ``run.json`` or ``reviews.parquet`` is damaged; it names all damaged files, and nothing is moved.
    """
    told = _renew_entries(run)
    record_found(run.reviews)  # laid into the folder, before the first run or since; from now on a change is noticed
    damaged = {damage.name: damage.what for damage in find_all_damage(run.root)}
    for name, what in {**unreadable_records(run), **dict.fromkeys(unlike_record(run), _UNLIKE)}.items():
        damaged.setdefault(name, what)
    lost = [name for name in damaged if name in _IRREPLACEABLE]
    if lost:
        raise InputError("; ".join(f"{run.root / name}: {damaged[name]}" for name in lost))
    return [*told, *(_set_aside(run, name) for name in damaged)]


def require_whole(run: RunFolder, *, remade: Sequence[Path]) -> list[str]:
    """Refuse a run with a damaged table or record; of those that are `remade`, a sentence each.

    Weights and embeddings are not read: who needs them verifies them then.
    """
    told = _renew_entries(run)
    record_found(run.reviews)
    found = find_all_damage(run.root, but=(".safetensors", "embeddings.parquet"))
    names = [path.relative_to(run.root).as_posix() for path in remade]
    refused = [damage for damage in found if damage.name not in names]
    if refused:
        raise InputError("; ".join(f"{run.root / damage.name}: {damage.what}" for damage in refused))
    return [*told, *(_set_aside(run, damage.name) for damage in found)]


def _renew_entries(run: RunFolder) -> list[str]:
    """Record files anew whose recorded hash alone is damaged: a byte is flipped in one file at a time."""
    return [
        f"{entry_of(path)}: this recorded hash was damaged, so that its file could not be checked; recorded anew"
        for path in recorded_files(run.root)
        if renew_damaged_entry(path)
    ]


def _set_aside(run: RunFolder, name: str) -> str:
    kept = move_aside(run.root, name)
    again = "made again" if name != _LOST_COMPARISON else "it only served to count what is new since then"
    return f"{run.root / name}: was damaged; {again}, the damaged one is {kept.relative_to(run.root)}"


def name_damage(path: Path) -> str | None:
    """A sentence on a damaged file that is about to be written anew; None if it is as it was."""
    return None if find_damage(path) is None else f"{path}: was damaged; written anew"
