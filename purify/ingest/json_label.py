"""The label in a JSON file that describes an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from purify.storage.files import parse_json

#: A longer file is not read.
MOST_JSON = 1 << 20


def json_label(text: str, field: str) -> tuple[str, Sequence[str]]:
    """The value of a field (``a.b`` within ``a``) as a label, empty without one; and the fields that are there."""
    try:
        content = parse_json(text.encode())
    except (ValueError, RecursionError):
        return "", ()
    if not isinstance(content, dict):
        return "", ()
    value: Any = content.get(field)
    if value is None:
        value = content
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, str):
        return value, ()
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return str(int(value)), ()
    return "", tuple(map(str, content))
