from __future__ import annotations

import pytest

from purify.ingest.shard_numbers import missing_files


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([f"data/train-0000{i}-of-00005.parquet" for i in (0, 1, 2, 4)], ["number 3"]),
        ([f"train-0000{i}-of-00003-{i}ab.parquet" for i in (0, 1)], ["number 2"]),
        ([f"a-0000{i}-of-00002.parquet" for i in range(2)] + ["b-00000-of-00002.parquet"], ["b-", "number 1"]),
        ([f"shard-00000{i}.tar" for i in (0, 1, 2, 5)], ["2 of 6 files shard-*.tar", "number 3, 4"]),
        (["000002.tar", "000003.tar", "000005.tar"], ["number 4"]),
    ],
)
def test_a_gap_in_a_series_is_told(names: list[str], missing: list[str]) -> None:
    (told,) = missing_files(names)
    for part in missing:
        assert part in told


@pytest.mark.parametrize(
    "names",
    [
        [f"train-0000{i}-of-00005.parquet" for i in range(5)],
        [f"shard-00000{i}.tar" for i in range(3, 8)],
        ["2019.tar", "2021.tar", "2024.tar"],
        ["a1.tar", "a5.tar", "a9.tar", "b.tar"],
        ["000001.tar", "004711.tar", "099999.tar"],
        ["a-00007.tar", "b-00003.tar"],
    ],
)
def test_whole_series_and_other_names_are_not(names: list[str]) -> None:
    assert list(missing_files(names)) == []
