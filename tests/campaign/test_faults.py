"""The short form of the campaign: each kind of fault once in each stage of a small run; `make campaign` has all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.campaign.__main__ import in_world
from tests.campaign.place import Counts, Place
from tests.campaign.worlds import given_embeddings


@pytest.mark.slow
def test_no_fault_loses_tears_or_hides_anything(tmp_path: Path) -> None:
    counts = Counts()
    world = given_embeddings(tmp_path)
    place = Place(tmp_path, world, counts, random.Random(0))
    in_world(place, 2, ["kill", "space", "vanish", "second"], mounts=False)
    assert counts.wrong == []
    assert {fault for fault, _ in counts.rows} == {"kill", "kill (write)", "no space", "source gone", "second run"}
    for (fault, stage), row in counts.rows.items():
        assert row["resumed"] == row["times"], (fault, stage)
    assert sum(row["refused"] for (fault, _), row in counts.rows.items() if fault == "second run") == 10
