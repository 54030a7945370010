"""SHA-256 of text and of plain values, for names of cached files and shards."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def sha256_text(*parts: str) -> str:
    """Hex SHA-256 of `parts`, joined by NUL characters; names that are not UTF-8 are hashed by their bytes."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of `value` as JSON with sorted keys."""
    return sha256_text(json.dumps(value, sort_keys=True))
