from __future__ import annotations

import hashlib
import json

from purify.storage.hashes import sha256_json, sha256_text


def test_hashes_are_those_of_the_bytes() -> None:
    assert sha256_text("a", "é") == hashlib.sha256("a\0é".encode()).hexdigest()
    assert sha256_text("\udcff") == hashlib.sha256(b"\xff").hexdigest()  # a file name that is not UTF-8
    value = {"b": [1, "x"], "a": None}
    assert sha256_json(value) == sha256_json(dict(reversed(value.items())))
    assert sha256_json(value) == hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
