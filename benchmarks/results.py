"""The answer of the detection benchmark: on a terminal, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.table import Table

from benchmarks.answers import console
from benchmarks.figures import Results, figure_rows, picture, sweeps
from benchmarks.natural import contact_sheet
from benchmarks.sizes import natural_rows, size_rows
from purify.report.canvas import png_bytes
from purify.storage.files import atomic_path, write_json
from purify.storage.locations import Location
from purify.tables.manifest import load_manifest

_WIDTH = 180
Rows = Sequence[Sequence[str]]


def write_results(answer: Mapping[str, Any], out: Path, *, tables: Mapping[str, Path], images: Location | None) -> None:
    """Write ``detection.json``, ``detection.md`` and ``detection.png`` to the folder `out`.

    For a set as published, ``<scenario>-<method>.png`` are contact sheets; `tables` are the scenarios', `images` a
    folder or tar of its faces (None: no sheets).
    """
    write_json(out / "detection.json", answer)
    with atomic_path(out / "detection.md") as temporary:
        temporary.write_text(markdown(answer), encoding="utf-8")
    if judged := _with_truth(answer):
        with atomic_path(out / "detection.png") as temporary:
            temporary.write_bytes(png_bytes(picture(judged)))
    if images is not None:
        for name, table in tables.items():
            _write_sheets(answer["scenarios"][name]["methods"], name, out, load_manifest(table), images)


def _write_sheets(methods: Mapping[str, Any], name: str, out: Path, manifest: pa.Table, images: Location) -> None:
    for method, figures in methods.items():
        if "surest" in figures:
            sheet = contact_sheet(figures["surest"], manifest, images)
            with atomic_path(out / f"{name}-{method}.png") as temporary:
                temporary.write_bytes(sheet)


def markdown(answer: Mapping[str, Any]) -> str:
    """Tables of all scenarios, each under a heading and its caption."""
    parts = []
    for name, scenario in answer["scenarios"].items():
        parts += [f"### {name}", _caption(scenario)]
        parts += [_markdown_table(header, rows) for header, rows in _tables(scenario["methods"]) if rows]
        parts += sweeps(scenario["methods"])
    return "\n\n".join(parts) + "\n"


def show(answer: Mapping[str, Any]) -> None:
    """Print the same tables."""
    shown = console(_WIDTH)
    for name, scenario in answer["scenarios"].items():
        for header, rows in _tables(scenario["methods"]):
            if rows:
                shown.print(_console_table(f"{name}: {_caption(scenario)}", header, rows))
        for line in sweeps(scenario["methods"]):
            shown.print(line, markup=False, highlight=False)
    for reason in answer["skipped"].values():
        shown.print(f"skipped: {reason}", markup=False)


def _tables(methods: Mapping[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    if any("surest" in figures for figures in methods.values()):
        return [natural_rows(methods)]
    return [figure_rows(methods), size_rows(methods)]


def _with_truth(answer: Mapping[str, Any]) -> Results:
    return {
        name: scenario["methods"]
        for name, scenario in answer["scenarios"].items()
        if not any("surest" in figures for figures in scenario["methods"].values())
    }


def _caption(scenario: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in scenario["kinds"].items())
    return f"{scenario['rows']:,} rows, {scenario['labels']:,} labels" + (f": {kinds}" if kinds else "")


def _markdown_table(header: Sequence[str], rows: Rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _console_table(title: str, header: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, no_wrap=True, justify="left" if number == 0 or name == "method" else "right")
    for row in rows:
        table.add_row(*row)
    return table
