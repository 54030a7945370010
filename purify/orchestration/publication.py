"""The outcome of a run as artifacts of the running flow."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from purify.config import ShowConfig
from purify.orchestration.artifacts import publish_link, publish_page, publish_table
from purify.pipeline.summary import run_summary
from purify.report.markdown import summary_table
from purify.report.run_page import report_link, run_page, worst_classes
from purify.storage.run_folder import RunFolder


def publish_summary(run: RunFolder, show: ShowConfig) -> None:
    """Publish the outcome of a run: its figures, worst labels, page, and report."""
    name = run.root.name
    figures = summary_table(run_summary(run))
    publish_table(figures, key="purify-summary", description=f"Figures of {name}")
    worst = worst_classes(run)
    if worst:
        publish_table(worst, key="purify-worst-labels", description=f"Labels of {name} with the most wrong images")
    page = run_page(run, figures, with_faces=_faces_may_be_shown(show))
    publish_page(page, key="purify-report", description=f"What became of {name}")
    publish_link(
        report_link(run), key="purify-report-file", text=run.shown(run.report), description=f"Report of {name}"
    )


def _faces_may_be_shown(show: ShowConfig) -> bool:
    if show.faces != "loopback":
        return show.faces == "always"
    host = urlsplit(get_current_settings().api.url or "").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
