"""Values and tables as Markdown, for pages outside the report."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """Convert `value` (NumPy scalars and arrays, paths, ...) to JSON types; NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing NumPy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def summary_table(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows ``figure``, ``value`` of a table artifact, in the order of `values`."""
    return [{"figure": name, "value": plain(value)} for name, value in values.items()]


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown table of `lines` of cells; the first line is the header."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rest))


def markdown_records(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of `rows`, at least one; the keys of the first are the header."""
    lines = [list(rows[0]), *([row[key] for key in rows[0]] for row in rows)]
    return markdown_table([[_cell(plain(value)) for value in line] for line in lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return markdown_text(f"{value:.4g}" if isinstance(value, float) else str(value))


def markdown_text(text: str) -> str:
    """Escape `text` in one line: names of people and files must not become markup."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", html.escape(one_line, quote=False))


def picture(caption: str, url: str) -> str:
    """Embed a picture by its data `url`: it shows offline, and outlives the run folder."""
    return f"![{markdown_text(caption)}]({url})"
