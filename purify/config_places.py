"""Paths and URLs in a configuration."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from purify.config import EXTRACTOR_NAMES, Place, PurifyConfig, Section


def with_full_places(config: PurifyConfig) -> PurifyConfig:
    """`config` with absolute paths, valid in any working folder."""
    values = values_with_full_places(config.model_dump(mode="json", exclude_defaults=True), Path.cwd())
    return config if values == config.model_dump(mode="json", exclude_defaults=True) else _changed(config, values)


def _changed(config: PurifyConfig, values: dict[str, Any]) -> PurifyConfig:
    sections = {
        name: {key: section[key] for key in section if key in _places()[name]}
        for name, section in values.items()
        if name in _places()
    }
    return config.changed(**sections)


def values_with_full_places(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`data` with the relative paths in it made absolute; what is no path is left to the validation."""
    return data | {
        section: {
            key: _full(value, folder) if _is_place(section, key, value) else value for key, value in values.items()
        }
        for section, values in data.items()
        if isinstance(values, dict)
    }


def _is_place(section: str, key: str, value: Any) -> bool:
    named = section == "extractor" and value in EXTRACTOR_NAMES
    return key in _places().get(section, ()) and not named


def _full(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_full(item, folder) for item in value]
    is_path = isinstance(value, str) and value and "://" not in value
    return str(folder / value) if is_path else value


@cache
def _places() -> dict[str, frozenset[str]]:
    """Sections -> their settings that are paths or URLs."""
    found = {}
    for name, field in PurifyConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            hints = get_type_hints(field.annotation, include_extras=True)
            found[name] = frozenset(key for key, hint in hints.items() if Place in (hint, *get_args(hint)))
    return found
