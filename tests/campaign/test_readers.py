"""Every reader gets damaged and hostile bytes: it answers, or refuses by a message of ours, and nothing else.

``PURIFY_CAMPAIGN`` multiplies the number of inputs; ``make campaign`` gives many more, with counts.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from purify.config_files import config_from_json
from purify.errors import PurifyError
from tests.campaign.readers import groups, try_reader

INPUTS = 20 * int(os.environ.get("PURIFY_CAMPAIGN", "1"))


@pytest.mark.parametrize("group", list(groups()))
def test_readers_answer_or_refuse(tmp_path: Path, group: str) -> None:
    """Errors of another kind are raised, and fail the test; the input is the last file that is left."""
    (whole := tmp_path / "whole").mkdir()
    counts: dict[str, Counter[str]] = {}
    for number, reader in enumerate(groups()[group](whole)):
        inputs = max(1, round(INPUTS * reader.weight))
        rnd = random.Random(reader.name)
        outcomes = try_reader(reader, tmp_path / f"{number}", rnd, inputs, lambda _: None)
        counts[reader.name] = Counter(outcomes)
    assert all(counted.total() >= 3 for counted in counts.values())
    assert sum(counted["refused"] for counted in counts.values()) > len(counts)


def test_settings() -> None:
    rnd, refused = random.Random(0), 0
    odd = [str(2**70), "1e400", "-1", "nan", '"\\ud800"', "[" * 3000, "{}", "null", "''", "1" * 5000, "true", "\0"]
    for _ in range(INPUTS * 4):
        key = rnd.choice(["seed", "train.epochs", "train.margin", "ingest.images", "ingest.columns", "train", "no.key"])
        refused += 1
        with suppress(PurifyError):
            config_from_json({}, [f"{key}={rnd.choice(odd)}"], origin="here")
            refused -= 1
    assert refused > INPUTS
