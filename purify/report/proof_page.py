"""The table of a proof, as text, Markdown, JSON and a self-contained page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from purify.evaluation.unseen_pairs import left_out
from purify.report import template
from purify.report.markdown import markdown_table, markdown_text
from purify.report.proof_figure import proof_picture
from purify.storage.files import write_bytes, write_json

_HEAD = ("training set", "images", "AUC", "accuracy, %")
_FOOT = (
    "Mean over the seeds, with the 95 % interval of a bootstrap over people and seeds. Gap closed: share of the way in "
    "AUC from the first row to the oracle."
)


def write_proof(record: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write ``proof.json``, ``proof.md`` and ``proof.html`` to the folder `out`, and return the record."""
    write_json(out / "proof.json", record)
    pages = {"proof.md": proof_markdown(record), "proof.html": proof_html(record)}
    for name, text in pages.items():
        write_bytes(out / name, text.encode())
    return record


def proof_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows of the table: a row a cell, in the order of the paper."""
    cells = record["cells"]
    fars = [far for far in ("0.1", "0.01", "0.001") if any(far in cell for cell in cells)]
    judged = any(cell["detection"] for cell in cells)
    head = [*_HEAD, *(f"TAR at FAR {far}, %" for far in fars), "gap closed"]
    head += ["noise found", "right kept", "noise left"] if judged else []
    rows = []
    for cell in cells:
        row = [
            cell["title"],
            _count(cell["n_train"]),
            _figure(cell.get("auc"), 4),
            _figure(cell.get("accuracy"), 2, 100),
        ]
        row += [*(_figure(cell.get(far), 1, 100) for far in fars), _gap(cell.get("gap_closed"))]
        figures = cell["detection"] or {}
        row += [_share(figures.get(key)) for key in ("recall", "clean_kept", "residual_noise")] if judged else []
        rows.append(row)
    return [head, *rows]


def difference_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows of the paired differences, with what their intervals say."""
    titles = {cell["name"]: cell["title"] for cell in record["cells"]}
    rows = [["difference", "AUC", "95 % interval", "finding", "accuracy, %", "95 % interval", "finding"]]
    for names, found in record["differences"].items():
        this, that = next((a, b) for a in titles for b in titles if f"{a}-{b}" == names)
        row = [f"{titles[this]} against {titles[that]}"]
        for name, digits, scale in (("auc", 4, 1), ("accuracy", 2, 100)):
            low, high = (f"{scale * bound:+.{digits}f}" for bound in found[name]["interval"])
            row += [f"{scale * found[name]['value']:+.{digits}f}", f"{low} to {high}", found[name]["finding"]]
        rows.append(row)
    return rows


def proof_text(record: Mapping[str, Any]) -> list[str]:
    """Lines of the table for a terminal, columns aligned, with notes below."""
    rows = proof_rows(record)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"Note: {note}." for note in record["notes"])]


def proof_markdown(record: Mapping[str, Any]) -> str:
    """The tables and notes as Markdown."""
    parts = [_escaped(proof_rows(record)), _FOOT]
    if pairs := _pairs(record):
        parts.append(pairs)
    if record["differences"]:
        parts.append(_escaped(difference_rows(record)))
    parts += [f"- {markdown_text(note)}." for note in record["notes"]]
    return "\n\n".join(parts) + "\n"


def proof_html(record: Mapping[str, Any]) -> str:
    """One self-contained page: the tables, and the figures of the cells with their intervals as a picture."""
    differences = difference_rows(record) if record["differences"] else None
    picture = proof_picture(record["cells"]) if any("auc" in cell for cell in record["cells"]) else None
    values = {"record": record, "table": proof_rows(record), "differences": differences, "pairs": _pairs(record)}
    return template.render_page("proof.html", {**values, "foot": _FOOT, "picture": picture})


def _pairs(record: Mapping[str, Any]) -> str | None:
    pairs = record["pairs"]
    if pairs is None:
        return None
    text = f"Measured on {pairs['used']:,} pairs"
    if seen := left_out(pairs):
        text += f"; {seen}"
    if pairs["missing"]:
        text += f"; of {pairs['missing']:,} an image is not there"
    return f"{text}."


def _escaped(rows: Sequence[Sequence[str]]) -> str:
    return markdown_table([[html.escape(cell, quote=False).replace("|", "\\|") for cell in row] for row in rows])


def _figure(figure: Mapping[str, Any] | None, digits: int, scale: float = 1) -> str:
    if figure is None:
        return "-"
    value, low, high = (f"{scale * number:.{digits}f}" for number in (figure["value"], *figure["interval"]))
    return f"{value} [{low}, {high}]"


def _gap(gap: Mapping[str, Any] | None) -> str:
    """A share of the gap; above 100 %, below 0, and where the interval says no more, in words."""
    if gap is None:
        return "-"
    low, high = gap["interval"]
    around = f"[{100 * low:.0f}, {100 * high:.0f}]"
    if high < 0:
        return f"none {around}"
    if low <= 0:
        return f"unclear {around}"
    if gap["value"] > 1:
        return f"all {around}"
    return f"{100 * gap['value']:.0f} % {around}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
