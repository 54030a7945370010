"""Configurations in TOML and JSON files, and settings given one by one."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from purify.config import PurifyConfig, Section
from purify.config_places import values_with_full_places
from purify.errors import InputError, did_you_mean


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> PurifyConfig:
    """Read a TOML file, apply ``section.key=value`` overrides, and validate.

    Relative paths in the file are relative to its folder. Values of overrides are TOML or JSON literals; anything else
    is taken as a string.

    Raises
    ------
    InputError
        If the file can't be read, or a key or value is not valid; the message names the file and the key.
    """
    if path is None:
        return _validated({}, overrides, origin="configuration")
    return _validated(values_with_full_places(_read_toml(path), path.absolute().parent), overrides, origin=str(path))


def recipe_files() -> dict[str, Path]:
    """The recipes that come with purify: name -> file, in the installed package or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    found = (folder.glob("*.toml") for folder in (package.parent / "recipes", package / "recipes"))
    return {path.stem: path for paths in found for path in sorted(paths)}


def config_from_json(values: Any, overrides: Iterable[str] = (), *, origin: str) -> PurifyConfig:
    """Validate a configuration saved by purify, as in ``run.json``; InputError names `origin` and the key."""
    if not isinstance(values, dict):
        raise InputError(f"{origin}: holds no configuration")
    return _validated(values, overrides, origin=origin)


def to_toml(config: PurifyConfig) -> str:
    """`config` as a TOML file that `load_config` reads back: descriptions as comments, unset values commented out."""
    lines = ["# Seed of all random numbers.", f"seed = {config.seed}"]
    for name, section in config:
        if not isinstance(section, Section):
            continue
        lines += ["", f"# {_first_line(type(section))}", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            lines += textwrap.wrap(f"{field.description or ''}", 100, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"# {key} =" if value is None else f"{key} = {json.dumps(value)}")
    return "\n".join(lines)


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").partition("\n")[0]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: can't read the configuration: {error.strerror}") from error
    except RecursionError as error:
        raise InputError(f"{path}: values are nested too deeply for a configuration") from error
    except ValueError as error:  # invalid TOML or UTF-8, or integers of thousands of digits
        raise InputError(f"{path}: not a TOML file: {error}") from error


def _validated(data: dict[str, Any], overrides: Iterable[str], *, origin: str) -> PurifyConfig:
    overridden = {_override(data, text) for text in overrides}
    try:
        return PurifyConfig.model_validate(data)
    except ValidationError as error:
        problems = [_explain(problem, overridden, origin) for problem in error.errors()]
    raise InputError("; ".join(problems) + " (all settings: `purify config`)")


def _override(data: dict[str, Any], text: str) -> str:
    """Set the value in `data` and return its key."""
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--set {text!r}: expected section.key=value, such as train.epochs=4")
    *sections, name = key.split(".")
    node = data
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {text!r}: {section!r} is not a section")
        node = child
    node[name] = _literal(raw.strip())
    return key


def _literal(raw: str) -> Any:
    for parse in (lambda: tomllib.loads(f"v = {raw}")["v"], lambda: json.loads(raw)):
        try:
            return parse()
        except (ValueError, RecursionError):
            continue
    return raw


def _explain(problem: Mapping[str, Any], overridden: Collection[str], origin: str) -> str:
    """Describe a problem: its key, the origin of the value, and the nearest setting or choice."""
    key = ".".join(str(part) for part in problem["loc"])
    given_here = any(key == given or given.startswith(f"{key}.") for given in overridden)
    where = f"--set {key}" if given_here else ": ".join(filter(None, [origin, key]))
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such setting{did_you_mean(key, _settings())}"
    value = problem["input"]
    if problem["type"] == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return f"{where}: {value!r} is none of {', '.join(choices)}{did_you_mean(value, choices)}"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _settings() -> list[str]:
    """Names of all sections, and of their keys with the section."""
    defaults = PurifyConfig().model_dump()
    keys = [f"{section}.{key}" for section, values in defaults.items() if isinstance(values, dict) for key in values]
    return [*defaults, *keys]
