"""Prefect artifacts: tables, pages, links, and the progress of stages.

The builders are plain functions of plain values. Only the publishing functions import Prefect, and they
have to be called inside a flow or task run.
"""

from __future__ import annotations

import contextvars
import logging
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from purify.progress import Progress
from purify.report.markdown import plain

PROGRESS_SECONDS = 3.0
"""Least time between two updates of a progress artifact; each is a request to the server."""

_log = logging.getLogger(__name__)


def artifact_key(*words: str) -> str:
    """Join words to a key that Prefect accepts: lower-case letters, digits, single dashes.

    Raises
    ------
    ValueError
        If the words have no letter or digit.
    """
    key = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    if not key:
        raise ValueError(f"no letter or digit in {words!r} to make an artifact key of")
    return key


def publish_table(rows: Sequence[Mapping[str, Any]], *, key: str, description: str) -> None:
    """Publish `rows` as a table artifact of the running flow."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact([plain(row) for row in rows], key=artifact_key(key), description=description)


def publish_page(page: str, *, key: str, description: str) -> None:
    """Publish a Markdown page of the running flow."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(page, key=artifact_key(key), description=description)


def publish_link(url: str, *, key: str, text: str, description: str) -> None:
    """Publish a link of the running flow."""
    from prefect.artifacts import create_link_artifact

    create_link_artifact(url, key=artifact_key(key), link_text=text, description=description)


def task_progress(stage: str, *, seconds: float = PROGRESS_SECONDS) -> Progress:
    """Progress of the running task, shown as the artifact ``progress-<stage>``.

    It is updated at most once in `seconds`, and always at the end, from any thread. If the server refuses an update,
    the work continues without further ones.
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
            # Its declared type includes the coroutine for async callers.
            self._artifact = cast(UUID, create_progress_artifact(percent, key=key, description=text))
        else:
            update_progress_artifact(self._artifact, percent, description=text)
