"""Faces of a tar by person, and scenarios drawn from them, embedded by dlib for `benchmarks.detection`."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from PIL import Image

from purify.storage.files import write_table

#: Shares of the images, or of the series, of another person of the set, and of nobody in it.
FLIPS, STRANGERS = 0.12, 0.08


@dataclass(frozen=True)
class Faces:
    """Images of each person in a tar of ``folder/person/image``."""

    archive: tarfile.TarFile
    of: dict[str, list[tarfile.TarInfo]]

    @classmethod
    def open(cls, path: Path) -> Faces:
        archive, of = tarfile.open(path), defaultdict(list)  # noqa: SIM115
        for member in archive.getmembers():
            if member.isfile():
                of[member.name.split("/")[-2]].append(member)
        return cls(archive, dict(of))

    def image(self, member: tarfile.TarInfo) -> Image.Image:
        """Its picture."""
        file = self.archive.extractfile(member)
        assert file is not None
        return Image.open(io.BytesIO(file.read())).convert("RGB")

    def people(self, least: int, most: int, rng: np.random.Generator) -> list[str]:
        """People with so many images, in random order."""
        known = sorted(person for person, images in self.of.items() if least <= len(images) <= most)
        return [known[at] for at in rng.permutation(len(known))]


@dataclass(frozen=True)
class Shown:
    """What is shown under a label: its ``member``, the person's name (empty: of nobody in the set), and the kind."""

    member: tarfile.TarInfo
    true: str
    kind: str


class Noise:
    """Draws what is shown in the place of each image of the `people`."""

    def __init__(self, faces: Faces, people: list[str], rng: np.random.Generator) -> None:
        self._faces, self._people, self._rng = faces, people, rng
        self._strangers = iter(faces.people(1, 1, rng))

    def shown(self, label: str, member: tarfile.TarInfo) -> Shown:
        """The image itself, one of another person, or one of a stranger."""
        kind = str(self._rng.choice(["flip", "outlier", "clean"], p=[FLIPS, STRANGERS, 1 - FLIPS - STRANGERS]))
        if kind == "flip":
            true = str(self._rng.choice([person for person in self._people if person != label]))
            return Shown(self._faces.of[true][self._rng.integers(len(self._faces.of[true]))], true, kind)
        if kind == "outlier":
            return Shown(self._faces.of[next(self._strangers)][0], "", kind)
        return Shown(member, label, kind)


def write_scenarios(tables: Mapping[str, pa.Table], out: Path) -> None:
    """Write ``OUT/tables/NAME.parquet``, and embed the images in ``OUT/images`` into ``OUT/embeddings.parquet``."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, out / "tables" / f"{name}.parquet")
    write_table(pa.concat_tables(tables.values()), out / "all.parquet")
    _run("ingest", str(out / "all.parquet"), "--images", str(out / "images"), "--out", str(out / "manifest"))
    _run("embed", str(out / "manifest/manifest.parquet"), "--extractor", "dlib", "--out", str(out))


def scenario_command(
    draw: Callable[[Faces, str, Path, int], pa.Table], names: Iterable[str], summary: str
) -> click.Command:
    """Command that writes the scenarios `names`, each by ``draw(faces, name, folder of the images, seed)``."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=summary)
    @click.argument("tar", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the scenarios."
    )
    @click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
    def main(tar: Path, out: Path, seed: int) -> None:
        faces = Faces.open(tar)
        write_scenarios({f"{name}-{seed}": draw(faces, name, out / "images", seed) for name in names}, out)

    return main


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "purify", *arguments], check=True)
