"""How something is shown in the Prefect UI: as a table, a page with pictures, a link, or the progress of a stage.

The builders are plain functions of plain values. Only the publishing functions import Prefect, and they
have to be called inside a flow or task run.
"""

from __future__ import annotations

import contextvars
import html
import logging
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from purify.progress import Progress

PROGRESS_SECONDS = 3.0
"""Least time between two updates of a progress artifact; each is a request to the server."""

_log = logging.getLogger(__name__)


def artifact_key(*words: str) -> str:
    """Join words to a key that Prefect accepts: lower-case letters, digits, single dashes.

    Raises
    ------
    ValueError
        If nothing is left of them.
    """
    key = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    if not key:
        raise ValueError(f"no letter or digit in {words!r} to make an artifact key of")
    return key


def plain(value: Any) -> Any:
    """Turn `value` (NumPy scalars and arrays, paths, ...) into what JSON can carry; NaN becomes None."""
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
    """A table of `lines` of cells in Markdown, the first of which is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rest))


def markdown_records(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of `rows`, at least one; the keys of the first are the head."""
    lines = [list(rows[0]), *([row[key] for key in rows[0]] for row in rows)]
    return markdown_table([[_cell(plain(value)) for value in line] for line in lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return markdown_text(f"{value:.4g}" if isinstance(value, float) else str(value))


def markdown_text(text: str) -> str:
    """`text` as it is read, in one line: names of people and files must not become markup of a page."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", html.escape(one_line, quote=False))


def picture(caption: str, url: str) -> str:
    """A picture whose content is in its `url` (``data:...``): it shows offline, and after the run folder has gone."""
    return f"![{markdown_text(caption)}]({url})"


def publish_table(rows: Sequence[Mapping[str, Any]], *, key: str, description: str) -> None:
    """Publish `rows` as a table of the running flow."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact([plain(row) for row in rows], key=artifact_key(key), description=description)


def publish_page(page: str, *, key: str, description: str) -> None:
    """Publish a page in Markdown of the running flow."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(page, key=artifact_key(key), description=description)


def publish_link(url: str, *, key: str, text: str, description: str) -> None:
    """Publish a link of the running flow."""
    from prefect.artifacts import create_link_artifact

    create_link_artifact(url, key=artifact_key(key), link_text=text, description=description)


def task_progress(stage: str, *, seconds: float = PROGRESS_SECONDS) -> Progress:
    """Progress that the running task shows as the artifact ``progress-<stage>``.

    At most one update in `seconds`, and always the last one. It may be called from any thread. Work goes on
    without it when the server doesn't take an update: it is shown, not needed.
    """
    return _ProgressArtifact(stage, seconds)


class _ProgressArtifact:
    def __init__(self, stage: str, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds
        # Prefect keeps the server's address and the running task in context variables, which a new
        # thread doesn't have.
        self._context = contextvars.copy_context()
        self._artifact: UUID | None = None
        self._next = -math.inf

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if self._next == math.inf or (now < self._next and done < total):
            return
        self._next = now + self._seconds
        percent = 100.0 * done / total if total else 0.0
        text = f"{self._stage}: {done} of {total} {detail}".rstrip()
        try:
            self._context.copy().run(self._publish, percent, text)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the stage must go on
            _log.warning("progress of %s is no longer shown in Prefect: %s", self._stage, error)
            self._next = math.inf

    def _publish(self, percent: float, text: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if self._artifact is None:
            key = artifact_key("progress", self._stage)
            # Its declared type has the coroutine that an async caller would get.
            self._artifact = cast(UUID, create_progress_artifact(percent, key=key, description=text))
        else:
            update_progress_artifact(self._artifact, percent, description=text)
