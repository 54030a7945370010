"""Manifests: the rows that hold a usable image."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from purify.tables.schema import Status


def ok_rows(manifest: pa.Table) -> pa.Table:
    """Rows of a manifest that hold a usable image."""
    return manifest.filter(pc.equal(manifest["status"], Status.OK.value))
