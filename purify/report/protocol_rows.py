"""The table of protocols: a row for each figure, a column for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from purify.evaluation.unseen_pairs import left_out
from purify.report.verification_rows import MODEL_ORDER

#: Counts in the order in which they are told, before the others.
_COUNTS = ("pairs", "same", "different", "folds", "faces", "images", "people", "probes", "distractors")


@dataclass(frozen=True)
class ProtocolRow:
    """A figure of a protocol: a cell for each model, in the order of `protocol_models`."""

    protocol: str
    figure: str
    cells: Sequence[str]


def protocol_models(result: Mapping[str, Any]) -> list[str]:
    """Models in display order: raw, random, purified, oracle, then the others by name."""
    names = {name for protocol in result["protocols"].values() for name in protocol["models"]}
    return [name for name in MODEL_ORDER if name in names] + sorted(names.difference(MODEL_ORDER))


def protocol_rows(result: Mapping[str, Any]) -> list[ProtocolRow]:
    """Rows of ``protocols.json``, figures in per cent with their 95 % intervals; what is refused says so."""
    models, rows = protocol_models(result), []
    for name in result["order"]:
        measured = result["protocols"][name]["models"]
        figures = dict.fromkeys(figure for model in measured.values() for figure in model["order"])
        rows += [ProtocolRow(name, figure, [_cell(measured[model], figure) for model in models]) for figure in figures]
    return rows


def protocol_notes(result: Mapping[str, Any]) -> list[str]:
    """What a reader must know of each protocol: variant, counts, what is refused, what the source leaves open."""
    notes = []
    for name in result["order"]:
        protocol = result["protocols"][name]
        variant = " ".join(filter(None, (protocol["variant"], protocol["pooling"])))
        first = next(iter(protocol["models"].values()))
        known = first["counts"]
        order = [what for what in _COUNTS if what in known] + [what for what in known if what not in _COUNTS]
        counts = ", ".join(_counted(what, known[what]) for what in order)
        drawn = f"; intervals over {first['drawn_over']}" if first["drawn_over"] else ""
        notes.append(f"{name} ({variant}): {protocol['published']}. {counts}{drawn}.")
        notes += [f"{name}: {text}" for text in (*_findings(protocol), *_warnings(protocol, first))]
    return notes


def _findings(protocol: Mapping[str, Any]) -> list[str]:
    """What a model is better or worse in than another, a sentence for each two."""
    sentences = []
    for two in protocol.get("differences", ()):
        by = {figure: found["finding"] for figure, found in two["figures"].items()}
        parts = [
            f"{finding} in {', '.join(figure for figure, said in by.items() if said == finding)}"
            for finding in ("better", "worse", "no clear difference")
            if finding in by.values()
        ]
        sentences += [f"{two['this']} against {two['that']}: {'; '.join(parts)}."] if parts else []
    return sentences


def _counted(what: str, count: int) -> str:
    return "1 fold" if what == "folds" and count == 1 else f"{count:,} {what.replace('_', ' ')}"


def _warnings(protocol: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    read, expected = protocol["read"], protocol["expected_pairs"]
    warnings = [f"{figure} refused: {why}." for figure, why in first["refused"].items()]
    given, used = read.get("given"), read.get("used")
    if "excluded_identity" in read and (seen := left_out(read)):
        warnings.append(f"{seen}.")
    if read.get("training_set_ignored"):
        warnings.append("its files name no people: those of the training set are not left out.")
    if read.get("missing"):
        warnings.append(f"of {given:,} pairs, {read['missing']:,} are left out since an image is not there.")
    if expected and given is not None and given != expected:
        warnings.append(f"the file has {given:,} pairs; the published set has {expected:,}, so figures don't compare.")
    elif expected and used is not None and used != expected:
        warnings.append(f"{used:,} of the published set's {expected:,} pairs are used, so figures don't compare.")
    if protocol["left_open"]:
        warnings.append(protocol["left_open"])
    return warnings


def _cell(model: Mapping[str, Any], figure: str) -> str:
    found = model["figures"].get(figure)
    if found is None:
        return "refused" if figure in model["refused"] else ""
    text = f"{100 * found['value']:.2f}"
    if "std" in found:
        text += f" \N{PLUS-MINUS SIGN} {100 * found['std']:.2f}"
    if "interval" in found:
        low, high = found["interval"]
        text += f" [{100 * low:.2f}, {100 * high:.2f}]"
    return text


def protocol_section(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the report shows: ``models``, ``rows`` and ``notes``; None without protocols."""
    if result is None:
        return None
    return {"models": protocol_models(result), "rows": protocol_rows(result), "notes": protocol_notes(result)}


def protocol_text(result: Mapping[str, Any]) -> str:
    """The table and its notes as text."""
    lines = [["protocol", "figure, %", *protocol_models(result)]]
    before = None
    for row in protocol_rows(result):
        lines.append([row.protocol if row.protocol != before else "", row.figure, *row.cells])
        before = row.protocol
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, "", *protocol_notes(result)])
