"""Generate the reference pages of the site from the code they describe (a MkDocs hook)."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parent
#: Public names in the order of their sections; others follow.
_API_ORDER = ("find_label_errors", "Verdicts", "run", "read_run", "SubcenterArcFace")
ROOT = FOLDER.parents[1]
sys.path.insert(0, str(ROOT))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/cli.md": command_line,
        "reference/configuration.md": configuration,
        "reference/api.md": python_api,
        "reference/tables.md": tables,
        "reference/dependencies.md": dependencies,
    }
    for name, page in pages.items():
        files.append(File.generated(config, name, content="\n".join(page()) + "\n"))
    return files


def command_line() -> Iterator[str]:
    """Every command with its arguments and options, as click knows them."""
    from purify.cli import main
    from purify.cli.command import walk

    yield from ("# Command line", "")
    yield "Every command also answers `--help`. Exit codes: 0 done, 1 failed, 2 input or usage that can't be used."
    for name, command in walk(main.commands):
        inner = click.Context(command, info_name=f"purify {name}")
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        example = getattr(command, "example", None)
        lines = [usage, "", "Example:", example] if example else [usage]
        about = inspect.cleandoc(command.help or "")
        yield from ("", f"## {name}", "", about, "", "```text", *lines, "```", "")
        rows = [row for row in map(_option_row, command.get_params(inner)) if row]
        yield from _table(("option", "value", "default", "meaning"), rows)


def _option_row(parameter: click.Parameter) -> tuple[str, ...] | None:
    if not isinstance(parameter, click.Option) or parameter.hidden or "--help" in parameter.opts:
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f"`{parameter.make_metavar(click.Context(click.Command('x')))}`"
    shown = parameter.show_default and isinstance(parameter.default, str | int | float | Path)
    default = f"`{parameter.default}`" if shown else ""
    required = "**Required.** " if parameter.required else ""
    return names, value, default, required + _cell(parameter.help or "")


def configuration() -> Iterator[str]:
    """Every setting with its type, bounds and default, as the pydantic model knows them."""
    from purify.config import PurifyConfig

    yield (FOLDER / "configuration.md").read_text(encoding="utf-8").strip()
    schema = PurifyConfig.model_json_schema()
    sections = {name: _resolve(field, schema) for name, field in schema["properties"].items()}
    top = {name: field for name, field in sections.items() if "properties" not in field}
    yield from ("", "## Top level", "")
    yield from _table(("setting", "type", "default", "meaning"), _settings(top))
    for name, section in sections.items():
        if "properties" in section:
            yield from ("", f"## {name}", "", section.get("description", ""), "")
            yield from _table(("setting", "type", "default", "meaning"), _settings(section["properties"], f"{name}."))


def _resolve(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The section that a field refers to, else the field."""
    reference = field.get("$ref") or next((part["$ref"] for part in field.get("allOf", ()) if "$ref" in part), None)
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else field


def _settings(fields: Mapping[str, dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, ...]]:
    for name, field in fields.items():
        default = field.get("default")
        shown = "" if default is None else f"`{_toml(default)}`"
        yield f"`{prefix}{name}`", _type(field), shown, _cell(field.get("description", ""))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(field: dict[str, Any]) -> str:
    """A type and its bounds in words."""
    if "anyOf" in field:
        return " or ".join("none" if part.get("type") == "null" else _type(part) for part in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if isinstance(field.get("items"), dict) else "list"
    names = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    signs = {"minimum": "&ge;", "exclusiveMinimum": "&gt;", "maximum": "&le;", "exclusiveMaximum": "&lt;"}
    bounds = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return ", ".join([names.get(field.get("type", ""), "any"), *bounds])


def python_api() -> Iterator[str]:
    """A section for every public name, filled in by mkdocstrings."""
    import purify

    yield (FOLDER / "api.md").read_text(encoding="utf-8").strip()
    order = {name: place for place, name in enumerate(_API_ORDER)}
    for name in sorted(purify.__all__, key=lambda name: order.get(name, len(order))):
        yield from ("", f"::: purify.{name}")
    yield from ("", f"::: {purify.read_run.__module__}.Run")  # what `run` and `read_run` return


def tables() -> Iterator[str]:
    """Columns of every table from the schemas, each with the meaning that columns.toml gives."""
    from purify.tables import schema

    words = tomllib.loads((FOLDER / "columns.toml").read_text(encoding="utf-8"))
    yield from ("# Tables", "", words["introduction"].strip())
    known = {
        value.metadata[schema.SCHEMA_KEY].decode(): value
        for value in (*vars(schema).values(), schema.embeddings_schema(128))
        if isinstance(value, pa.Schema)
    }
    found = {name.partition("/")[0]: (name, table) for name, table in known.items()}
    _same("tables", set(found) - set(words["internal"]), words["tables"])
    for table, texts in words["tables"].items():
        stamp, fields = found[table]
        meanings = {**words["shared"], **texts.get("columns", {})}
        yield from ("", f"## {table}", "", f"{texts['about'].strip()} Schema `{stamp}`.", "")
        yield from _table(("column", "type", "meaning"), _columns(table, fields, meanings))
    for name, meanings in words["values"].items():
        choices = [value.value for value in getattr(schema, name)]
        _same(name, choices, meanings)
        yield from ("", f"## Values of `{name.lower()}`", "")
        yield from _table(("value", "meaning"), ((f"`{choice}`", meanings[choice]) for choice in choices))


def _columns(table: str, fields: pa.Schema, meanings: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for field in fields:
        if field.name not in meanings:
            raise PluginError(f"docs/_generate/columns.toml: no meaning of {table}.{field.name}")
        kind = re.sub(r"struct<.*>", "struct", re.sub(r"(element|item): ", "", str(field.type)))
        yield f"`{field.name}`", f"{_cell(kind)}{', nullable' if field.nullable else ''}", _cell(meanings[field.name])


def _same(what: str, code: Iterable[str], words: Iterable[str]) -> None:
    if odd := set(code) ^ set(words):
        raise PluginError(f"docs/_generate/columns.toml: {what} differ from purify/tables/schema.py: {sorted(odd)}")


def dependencies() -> Iterator[str]:
    """Requirements of pyproject.toml, each with the purpose and license that dependencies.toml gives."""
    words = tomllib.loads((FOLDER / "dependencies.toml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    yield from ("# Dependencies", "", words["introduction"].strip())
    for group, requirements in groups.items():
        yield from ("", f"## Extra `{group}`" if group else "## Always installed", "")
        rows = []
        for requirement in requirements:
            name = re.match(r"[\w.-]+", requirement)
            about = words["packages"].get(name.group().lower()) if name else None
            if about is None:
                raise PluginError(f"docs/_generate/dependencies.toml: nothing on {requirement}")
            rows.append((f"`{requirement.partition(';')[0].strip()}`", about["license"], about["for"]))
        yield from _table(("requirement", "license", "what for"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    if rows:
        yield from (_line(heads), _line(["---"] * len(heads)), *map(_line, rows))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text of a table's cell: one line, nothing that Markdown or HTML would take as its own."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
