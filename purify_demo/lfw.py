"""Labeled Faces in the Wild with injected label noise: a real set for a first look, with its truth and its pairs.

Huang et al., Labeled Faces in the Wild, University of Massachusetts, Amherst, Technical Report 07-49, 2007. The files
are those of the authors' site, kept by figshare for scikit-learn, whose record of their hashes is used here.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from PIL import Image

from purify.errors import InputError
from purify.progress import Progress, ProgressBoard, silent
from purify.storage.files import atomic_path, read_json, write_json, write_table
from purify_demo.download import RemoteFile, fetch

ARCHIVE = RemoteFile(
    "lfw.tgz",
    ("https://ndownloader.figshare.com/files/5976018", "http://vis-www.cs.umass.edu/lfw/lfw.tgz"),
    "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
)
PAIRS = RemoteFile(
    "pairs.txt",
    ("https://ndownloader.figshare.com/files/5976006", "http://vis-www.cs.umass.edu/lfw/pairs.txt"),
    "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592",
)
#: Left, top, right and bottom of the box that puts the eyes where the template of 112 pixels has them, on the average
#: of 167 images (eyes at 105, 114 and 145, 114; a standard deviation of 4 pixels). `--align` does it face by face.
_BOX = (62, 56, 188, 182)
_SIDE = 112
_QUALITY = 95
_VERSION = 1
_PHOTO = re.compile(r"(?P<person>[^/]+)/(?P=person)_\d{4}\.jpg")


@dataclass(frozen=True)
class LfwNoise:
    """Noise to inject.

    Attributes
    ----------
    least_images
        Least images of a person that becomes a label.
    most_strangers
        Most images of a person whose faces are used as ones of nobody.
    flips, outliers
        Shares of the labels' images: under another person's label, and strangers under a label.
    """

    least_images: int = 10
    most_strangers: int = 4
    flips: float = 0.15
    outliers: float = 0.15


@dataclass(frozen=True)
class LfwSet:
    """Paths of the set in its folder `root`."""

    root: Path

    @property
    def images(self) -> Path:
        """All images, cropped to 112 pixels."""
        return self.root / "faces.tar"

    @property
    def table(self) -> Path:
        """``path``, ``label``, ``true_label`` (empty: none of the labels) and ``kind``."""
        return self.root / "noisy.parquet"

    @property
    def pairs(self) -> Path:
        """View 2 of LFW: 6,000 pairs in ten folds."""
        return self.root / PAIRS.name


def write_lfw(out: Path, *, seed: int = 0, noise: LfwNoise | None = None, board: ProgressBoard) -> LfwSet:
    """Download LFW into the folder `out`, crop it, and put a noisy table of its people beside it.

    What is there already, of this seed and noise, is kept; an interrupted download goes on.

    Raises
    ------
    DownloadError
        If the files can't be had.
    InputError
        If `out` holds something else, or the archive is none of LFW.
    """
    noise, made = noise or LfwNoise(), LfwSet(out)
    receipt = {"version": _VERSION, "seed": seed, "noise": asdict(noise), "archive": ARCHIVE.sha256}
    record = out / "lfw.json"
    if record.is_file() and read_json(record) == receipt and made.images.is_file() and made.table.is_file():
        return made
    ours = {"downloads", made.images.name, made.table.name, made.pairs.name, record.name}
    if out.exists() and (not out.is_dir() or not {path.name for path in out.iterdir()} <= ours):
        raise InputError(f"{out}: holds other files than LFW's; give another --out")
    pairs = fetch(PAIRS, out / "downloads", progress=board.stage("download pairs"))
    archive = fetch(ARCHIVE, out / "downloads", progress=board.stage("download images"))
    names = _crop(archive, made.images, progress=board.stage("crop"))
    with atomic_path(made.pairs) as temporary:
        temporary.write_bytes(pairs.read_bytes())
    write_table(noisy_table(names, noise, seed=seed), made.table)
    write_json(record, receipt)
    return made


def noisy_table(names: Sequence[str], noise: LfwNoise, *, seed: int) -> pa.Table:
    """A table of images (``lfw/Person/Person_0001.jpg``) under partly wrong labels, with the truth.

    Parameters
    ----------
    names
        Names of all images.
    noise
        Which people are labels, and how many labels are wrong.
    seed
        Seed of the noise.

    Returns
    -------
    pyarrow.Table
        ``path``, ``label``, ``true_label`` (empty: none of the labels) and ``kind`` (clean, flip, outlier), by label.
    """
    of_person: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        of_person[PurePosixPath(name).parent.name].append(name)
    people = sorted(person for person, images in of_person.items() if len(images) >= noise.least_images)
    if len(people) < 2:
        raise InputError(f"only {len(people)} people have {noise.least_images} images; noise needs two")
    strangers = [name for images in of_person.values() if len(images) <= noise.most_strangers for name in images]
    rows = list(_noisy_rows(of_person, people, strangers, noise, seed))
    rows.sort(key=lambda row: (row["label"], row["path"]))
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))


def _noisy_rows(
    of_person: Mapping[str, list[str]], people: Sequence[str], strangers: Sequence[str], noise: LfwNoise, seed: int
) -> Iterator[dict[str, str]]:
    rng = np.random.default_rng(seed)
    own = [(person, name) for person in people for name in of_person[person]]
    flipped = set(rng.choice(len(own), size=round(noise.flips * len(own)), replace=False).tolist())
    for row, (person, name) in enumerate(own):
        others = [other for other in people if other != person]
        label = others[int(rng.integers(len(others)))] if row in flipped else person
        kind = "flip" if row in flipped else "clean"
        yield {"path": name, "label": label, "true_label": person, "kind": kind}
    many = min(len(strangers), round(noise.outliers * len(own)))
    for number in rng.choice(len(strangers), size=many, replace=False).tolist():
        label = people[int(rng.integers(len(people)))]
        yield {"path": strangers[number], "label": label, "true_label": "", "kind": "outlier"}


def _crop(archive: Path, out: Path, *, progress: Progress = silent) -> list[str]:
    """Crop all photos of the archive into the tar `out`, whose bytes depend on the photos alone; their names."""
    names: list[str] = []
    with atomic_path(out) as temporary, tarfile.open(archive, "r|gz") as given, tarfile.open(temporary, "w") as crops:
        for member in given:
            match = _PHOTO.search(member.name)
            if match is None or not member.isfile():
                continue
            name, content = f"lfw/{match[0]}", given.extractfile(member)
            assert content is not None
            crop = _cropped(content.read())
            entry = tarfile.TarInfo(name)
            entry.size = len(crop)
            crops.addfile(entry, io.BytesIO(crop))
            names.append(name)
            progress(len(names), 13_233, match["person"])
    if not names:
        raise InputError(f"{archive}: no images of the form Person/Person_0001.jpg in it")
    return names


def _cropped(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as photo:
        crop = photo.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box=_BOX)
    out = io.BytesIO()
    crop.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
