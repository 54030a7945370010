"""The columns of the tables are a format that other programs read: a change of one is seen here."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from purify.storage.files import SCHEMA_KEY
from purify.tables import schema

KNOWN = Path(__file__).parent / "known_columns.txt"


def columns() -> str:
    """All schemas: table and version, then name, type and whether null is admitted of each column."""
    tables = {name: value for name, value in vars(schema).items() if isinstance(value, pa.Schema)}
    lines = []
    for name, table in sorted(tables.items()):
        lines.append(f"{name} = {table.metadata[SCHEMA_KEY].decode()}")
        lines += [f"    {field.name}: {field.type}{'' if field.nullable else ', never null'}" for field in table]
    return "\n".join(lines) + "\n"


def test_the_columns_are_the_known_ones() -> None:
    """After a deliberate change, raise the version of the schema, and write ``columns()`` to `KNOWN`."""
    assert columns() == KNOWN.read_text(encoding="utf-8")
