"""Doors and containers of installed packages, and what is no source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.doors.door_registry import DOORS, find_door
from purify.ingest.ingest import ingest
from purify.storage import containers
from purify.storage.image_bytes import ImageByteReader

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]

MODULE = """
from dataclasses import dataclass
from pathlib import Path
from purify.ingest.doors.door import Door
from purify.ingest.source_listing import Listing
from purify.storage.locations import container_uri

class Pair:
    def __init__(self, path):
        self.content = path.read_bytes()
    def read(self, key):
        half = len(self.content) // 2
        return self.content[:half] if key == "a" else self.content[half:]
    def close(self):
        pass

@dataclass(frozen=True)
class Source:
    path: Path
    def listing(self):
        uris = [container_uri("pair", key, self.path) for key in "ab"]
        return Listing([f"{self.path.name}#{key}" for key in "ab"], ["x", "y"], [None] * 2, uris, [None] * 2,
                       splits=["train", "test"])

DOOR = Door("pair", "two images of one size", lambda source: source.suffix == ".pair",
            lambda source, images, config: Source(source.resolve()))
NOT_A_DOOR = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Install a package with these entry points."""
    site = tmp_path / "site"

    def install_(entry_points: str) -> None:
        info = site / "pair_door-1.dist-info"
        info.mkdir(parents=True)
        (site / "pair_door.py").write_text(MODULE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pair-door\nVersion: 1\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(site))
        containers._installed.cache_clear()

    yield install_
    sys.modules.pop("pair_door", None)
    containers._installed.cache_clear()


def test_a_door_of_a_package_is_read_everywhere(
    tmp_path: Path, install: Callable[[str], None], encode: Encode, config: IngestConfig
) -> None:
    install("[purify.doors]\npair = pair_door:DOOR\n[purify.containers]\npair = pair_door:Pair\n")
    images = [encode(file_format="BMP", seed=seed) for seed in (1, 2)]
    (tmp_path / "set.pair").write_bytes(b"".join(images))
    manifest = ingest(tmp_path / "set.pair", [], config)
    assert manifest["sample_id"].to_pylist() == ["set.pair#a", "set.pair#b"]
    assert manifest["split"].to_pylist() == ["train", "test"]
    assert manifest["status"].to_pylist() == ["ok", "ok"]
    with ImageByteReader() as reader:
        assert [reader.read(uri) for uri in manifest["uri"].to_pylist()] == images


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("pair_door:NOT_A_DOOR", r"door pair: pair_door:NOT_A_DOOR is no purify\.ingest\.doors\.door\.Door"),
        ("pair_door:GONE", "door pair: can't load pair_door:GONE: AttributeError"),
    ],
)
def test_a_door_that_is_none_is_named(
    tmp_path: Path, install: Callable[[str], None], config: IngestConfig, entry: str, message: str
) -> None:
    install(f"[purify.doors]\npair = {entry}\n")
    with pytest.raises(InputError, match=message):
        ingest(tmp_path, [], config)


def test_a_uri_of_an_unknown_kind_is_named() -> None:
    with ImageByteReader() as reader, pytest.raises(InputError, match="no installed package reads such containers"):
        reader.read("hdf5://a::file:///x.h5")
    with ImageByteReader() as reader, pytest.raises(InputError, match="copy the file here first"):
        reader.read("zip://a::s3://bucket/x.zip")


def test_doors_have_names_of_their_own_and_are_asked_in_vain_without_an_error(tmp_path: Path) -> None:
    names = [door.name for door in DOORS]
    assert len(set(names)) == len(names)
    (tmp_path / "x.bin").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="unknown kind of source; expected one of these: "):
        find_door(tmp_path / "x.bin", None)
