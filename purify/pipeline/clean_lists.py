"""Published clean lists and our own decisions: applied, compared and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from purify.errors import InputError
from purify.pipeline.cleaned_tables import apply_files, run_counts
from purify.report.disagreement_sheet import disagreement_sheet
from purify.report.run_tables import read_run
from purify.report.shown_images import with_images
from purify.storage.files import atomic_path, open_parquet, read_table, table_kind, write_bytes, write_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.decision_diff import compare_decisions, kept_names, removed_names
from purify.tables.list_files import ListForm, read_list, write_list
from purify.tables.list_verdicts import Listed, ListedLabels, verdicts_by_list
from purify.tables.manifest import load_manifest, ok_rows
from purify.tables.path_matching import SamplePaths
from purify.tables.schema import VERDICTS

#: Suffixes of the tables that `diff_decisions` writes.
DIFF_SUFFIXES = (".parquet", ".csv")
_LISTED_BY_KIND = {"cleaned": Listed.KEPT, "removed": Listed.REMOVED}


@dataclass(frozen=True)
class ListReading:
    """How to read a list: what it names, its form (None: recognized), and the meaning of its labels."""

    listed: Listed | None = None
    form: ListForm | None = None
    labels: ListedLabels = ListedLabels.AUTO


@dataclass(frozen=True)
class ListAnswer:
    """Figures to print, and warnings as sentences without a full stop."""

    figures: dict[str, int | str]
    warnings: tuple[str, ...] = ()


def apply_list(given: Location, manifest_at: Location, out: Path, reading: ListReading) -> ListAnswer:
    """List + manifest (or run) -> verdicts, cleaned, removed and label tables in the folder `out`.

    InputError if the list or the manifest can't be used, or nothing says whether the list keeps or removes.
    """
    manifest = _manifest_of(manifest_at)
    decided = _decide(given, manifest, reading)
    out.mkdir(parents=True, exist_ok=True)
    verdicts = out / "verdicts.parquet"
    write_table(decided.verdicts, verdicts)
    apply_files(manifest, verdicts, out)
    counts = run_counts(manifest, out / "cleaned.parquet", out / "removed.parquet")
    return ListAnswer({"cleaned_table": str(out / "cleaned.parquet"), **counts, **decided.counts}, decided.warnings)


def diff_decisions(
    a: tuple[Location, ListReading],
    b: tuple[Location, ListReading],
    manifest_at: Location | None,
    *,
    out: Path | None,
    sheet: Path | None,
    images: Sequence[Location] = (),
) -> ListAnswer:
    """Compare two lists, runs or tables of verdicts on the images of one manifest.

    Differences go to `out` (.parquet or .csv), their faces to the picture `sheet`. Without `manifest_at`, the manifest
    is that of a run among the two. InputError as in `apply_list`.
    """
    if out is not None and out.suffix.lower() not in DIFF_SUFFIXES:
        raise InputError(f"{out}: the table of differences is written as {' or '.join(DIFF_SUFFIXES)}; name it so")
    manifest = _manifest_of(manifest_at or _run_among(a[0], b[0]))
    sides = [_decide(place, manifest, reading) for place, reading in (a, b)]
    diff = compare_decisions(sides[0].verdicts, sides[1].verdicts)
    figures: dict[str, int | str] = dict(diff.counts)
    warnings = [warning for side in sides for warning in side.warnings]
    if out is not None:
        _write_rows(diff.table, out)
        figures["table"] = str(out)
    if sheet is not None:
        picture, lost = disagreement_sheet(with_images(manifest, images), diff.table)
        write_bytes(sheet, picture)
        figures["sheet"] = str(sheet)
        if lost:
            warnings.append(f"{lost} of the images to show could not be read; give their folder or tar with --images")
    return ListAnswer(figures, tuple(warnings))


def write_decisions(source: Location, out: Path, listed: Listed, form: ListForm) -> ListAnswer:
    """A run, or a table of verdicts, cleaned or removed images -> a list of the kept or removed ones in `out`.

    InputError if the source says nothing of these.
    """
    own = _LISTED_BY_KIND.get(_kind(source))
    if own not in (None, listed):
        raise InputError(f"{source}: holds the {own} images; give a run or its verdicts.parquet for the {listed} ones")
    if own is not None:
        entries = read_list(source, len)
        paths, labels = list(entries.paths), [label or "" for label in entries.labels]
    else:
        verdicts = _verdicts_at(source)
        paths, labels = kept_names(verdicts) if listed is Listed.KEPT else removed_names(verdicts)
    write_list(out, paths, labels, form)
    return ListAnswer({"list": str(out), "entries": len(paths)})


@dataclass(frozen=True)
class _Decided:
    verdicts: pa.Table
    counts: dict[str, int]
    warnings: tuple[str, ...]


def _decide(place: Location, manifest: pa.Table, reading: ListReading) -> _Decided:
    """Verdicts of a run, a table or a list on the ok rows of the manifest, in their order."""
    if _is_run(place) or _kind(place) == "verdicts":
        return _Decided(_on_manifest(place, _verdicts_at(place), manifest), {}, ())
    if (own := _LISTED_BY_KIND.get(_kind(place))) is not None:
        reading = replace(reading, listed=own, labels=ListedLabels.USE)
    if reading.listed is None:
        raise InputError(f"{place}: does this list name the images to keep or those to remove? Say kept or removed")
    found: Callable[[Sequence[str]], int] = SamplePaths(manifest["sample_id"].to_pylist()).count
    given = read_list(place, found, form=reading.form)
    judged = verdicts_by_list(manifest, given, reading.listed, name=place.name, labels=reading.labels)
    return _Decided(judged.verdicts, judged.counts, judged.warnings)


def _on_manifest(place: Location, verdicts: pa.Table, manifest: pa.Table) -> pa.Table:
    ids = ok_rows(manifest)["sample_id"]
    if set(ids.to_pylist()) != set(verdicts["sample_id"].to_pylist()):
        raise InputError(f"{place}: its verdicts are not on the ok rows of the manifest; give the analyzed manifest")
    return verdicts


def _verdicts_at(place: Location) -> pa.Table:
    """Verdicts of a run with its reviews applied, or of a file."""
    if _kind(place):
        return read_table(place, VERDICTS)
    return read_run(_pulled(place).root).verdicts


def _manifest_of(place: Location) -> pa.Table:
    return load_manifest(_pulled(place).manifest if _is_run(place) else place)


def _run_among(a: Location, b: Location) -> Location:
    run = next((place for place in (a, b) if _is_run(place)), None)
    if run is None:
        raise InputError("neither A nor B is a run with a manifest; give the manifest with --manifest")
    return run


def _is_run(place: Location) -> bool:
    """Whether a place is a folder, and so a run: lists and tables are files."""
    return place.is_dir() if isinstance(place, Path) else place.suffix == ""


def _pulled(place: Location) -> RunFolder:
    run = RunFolder.at(place)
    run.pull()
    if not run.manifest.exists():
        raise InputError(f"{place}: no run with a manifest in this folder")
    return run


def _kind(place: Location) -> str:
    """Kind of one of our tables; empty for a user's list and for a folder."""
    if place.suffix.lower() != ".parquet" or _is_run(place):
        return ""
    with open_parquet(place) as file:
        return (table_kind(file.schema_arrow) or "").partition("/")[0]


def _write_rows(table: pa.Table, out: Path) -> None:
    if out.suffix.lower() == ".parquet":
        write_table(table, out)
        return
    with atomic_path(out) as temporary:
        pa_csv.write_csv(table, temporary)
