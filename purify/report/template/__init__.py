"""The report's page: template, filters, and a content security policy for its own style and script alone."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2


@dataclass(frozen=True)
class Inline:
    """An inline style sheet or script, and its hash for the security policy, which blocks all others."""

    text: str
    hash: str


def render(values: dict[str, Any]) -> str:
    """The report's page; everything except our own style and script is escaped."""
    return render_page("report.html", values)


def render_page(name: str, values: dict[str, Any]) -> str:
    """The page of the template `name`, escaped like the report."""
    inline = {"style": _inline("style.css"), "script": _inline("sweep.js")}
    return _environment().get_template(name).render(**values, **inline)


def _inline(name: str) -> Inline:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Inline(text, f"sha256-{digest}")


@cache
def _environment() -> jinja2.Environment:
    """Environment with autoescaping, and filters that format numbers, with a dash for undefined ones."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("purify.report", "template"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    environment.filters.update(
        count=_count, counted=_counted, decimal=_decimal, degrees=_degrees, duration=_duration, percent=_percent
    )
    environment.filters.update(range=_range, whole=_whole, words=_words)
    return environment


def _count(value: int | None) -> str:
    return f"{value:,}" if _is_number(value) else "-"


def _counted(value: int, thing: str) -> str:
    return f"{value:,} {thing}{'' if value == 1 else 's'}"


def _decimal(value: float | None, digits: int = 4, *, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.{digits}f}" if _is_number(value) else "-"


def _degrees(value: float | None) -> str:
    # One decimal, to show the side of the threshold.
    return f"{value:.1f}\u00b0" if _is_number(value) else "no angle"


def _percent(value: float | None, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u00a0%" if value is not None and _is_number(value) else "-"


def _range(interval: tuple[float, float] | None, digits: int = 4, *, signed: bool = False, scale: float = 1) -> str:
    if not isinstance(interval, list | tuple):
        return "-"
    low, high = (_decimal(scale * bound, digits, signed=signed) for bound in interval)
    return f"{low} to {high}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _whole(value: float | None) -> str:
    return f"{round(value):,}" if value is not None and _is_number(value) else "-"


def _words(value: str) -> str:
    return value.replace("_", " ")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
