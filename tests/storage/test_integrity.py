"""Is this file what it was?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.errors import InputError
from purify.storage.files import atomic_path, open_parquet, read_columns, read_json, write_json, write_table
from purify.storage.integrity import (
    LEDGER,
    entry_of,
    file_digest,
    file_stamp,
    find_all_damage,
    find_damage,
    renew_damaged_entry,
    watch,
)


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_every_flipped_byte_of_a_watched_file_is_found(tmp_path: Path) -> None:
    watch(tmp_path)
    path = tmp_path / "round-1" / "values.json"
    write_json(path, {"a": 1})
    whole = path.read_bytes()
    assert find_damage(path) is None
    for place in range(len(whole)):
        flip(path, place)
        with pytest.raises(InputError, match=r"values.json: damaged: its bytes are not those that were written"):
            read_json(path)
        path.write_bytes(whole)
    assert read_json(path) == {"a": 1}


def test_a_damaged_entry_is_named_as_what_it_is(tmp_path: Path) -> None:
    watch(tmp_path)
    path = tmp_path / "values.json"
    write_json(path, {"a": 1})
    entry = entry_of(path)
    assert entry is not None
    for place in range(len(entry.read_bytes())):
        whole = entry.read_bytes()
        flip(entry, place)
        with pytest.raises(InputError, match="its recorded hash is damaged"):
            read_json(path)
        assert [damage.name for damage in find_all_damage(tmp_path)] == ["values.json"]
        assert renew_damaged_entry(path)
        assert entry.read_bytes() == whole
    assert not renew_damaged_entry(path)


def test_files_without_an_entry_are_taken_as_they_are(tmp_path: Path) -> None:
    outside = tmp_path / "a.json"
    write_json(outside, 1)
    flip(outside, 0)
    assert read_json(outside) == 0
    watch(tmp_path)
    (tmp_path / "b.json").write_text("2")
    assert read_json(tmp_path / "b.json") == 2
    assert not list((tmp_path / LEDGER).iterdir())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_the_replacement_leaves_a_file_that_counts_as_whole(tmp_path: Path, moment: str) -> None:
    watch(tmp_path)
    path = tmp_path / "values.json"
    write_json(path, "old")
    code = (
        "import os, sys; from pathlib import Path; from purify.storage.files import write_json\n"
        "real = Path.replace\n"
        "def replace(self, target):\n"
        "    if Path(target).name == 'values.json' and '.hashes' not in str(target):\n"
        f"        {'real(self, target)' if moment == 'after' else 'pass'}\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return real(self, target)\n"
        "Path.replace = replace\n"
        "write_json(Path(sys.argv[1]), 'new')\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(path)], check=False, env={**os.environ})
        assert read_json(path) == ("new" if moment == "after" else "old")
    write_json(path, "next")
    flip(path, 1)
    with pytest.raises(InputError, match="damaged"):
        read_json(path)


def test_pages_have_checksums_that_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(pa.table({"value": list(range(1000))}), path)
    start = pq.read_metadata(path).row_group(0).column(0)
    flip(path, start.dictionary_page_offset + start.total_compressed_size // 2)
    with pytest.raises(InputError, match="damaged Parquet file"), open_parquet(path) as file:
        read_columns(path, file, ["value"])


def test_files_that_swap_places_have_other_stamps(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(name.encode())
        os.utime(tmp_path / name / "0.png", ns=(1, 1))
    path = tmp_path / "a" / "0.png"
    before = file_stamp(path.stat())
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert path.stat().st_size == 1
    assert path.stat().st_mtime_ns == 1
    assert file_stamp(path.stat()) != before


def test_a_hash_is_not_remembered_past_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    os.utime(path, ns=(1, 1))
    first = file_digest(path)
    path.write_bytes(b"2")
    os.utime(path, ns=(1, 1))
    assert file_digest(path) != first


def test_temporary_files_get_no_entry(tmp_path: Path) -> None:
    watch(tmp_path)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    with atomic_path(tmp_path / "b.json") as temporary:
        temporary.write_text("1")
        assert [path.name for path in (tmp_path / LEDGER).iterdir()] == []
    assert [path.name for path in (tmp_path / LEDGER).iterdir()] == ["b.json.sha256"]
