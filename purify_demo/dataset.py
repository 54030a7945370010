"""The demo set on disk: images, table with the truth, verification pairs, and contact sheet."""

from __future__ import annotations

import csv
import io
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from purify.errors import InputError
from purify.images.loading import resolve_workers
from purify.progress import Progress, silent
from purify.storage.files import read_json, write_json, write_table
from purify.storage.own_files import discard_scratch, scratch_path
from purify_demo.identity import sample_identity
from purify_demo.non_faces import draw_non_face
from purify_demo.plan import DemoSpec, Kind, Picture, plan_held_out, plan_pairs, plan_set
from purify_demo.portrait import draw_portrait, jpeg, photograph
from purify_demo.scene import sample_scene

#: Version of the drawing; a set of another version is not reused.
_VERSION = 1
_CHUNK = 32
_SHEET_COLUMNS, _SHEET_ROWS, _SHEET_TILE, _SHEET_MARGIN = 14, 12, 72, 110


@dataclass(frozen=True)
class DemoSet:
    """Paths of a demo set; `images` is the root of the paths in table and pairs."""

    images: Path

    @property
    def table(self) -> Path:
        """``path``, ``label``, ``true_label`` (empty: none of the labels) and ``kind``."""
        return self.images / "demo.parquet"

    @property
    def pairs(self) -> Path:
        """``a``, ``b``, ``same``, ``fold`` of people without a label."""
        return self.images / "pairs.csv"

    @property
    def contact_sheet(self) -> Path:
        """An overview of some images."""
        return self.images / "contact_sheet.png"


def write_demo(out: Path, *, seed: int = 0, spec: DemoSpec | None = None, progress: Progress = silent) -> DemoSet:
    """Draw the demo set into the folder `out`, unless it already holds the set of this seed and spec.

    Raises
    ------
    InputError
        If `out` holds something else.
    """
    spec = spec or DemoSpec()
    receipt = {"version": _VERSION, "seed": seed, "spec": asdict(spec)}
    if (out / "demo.json").is_file() and read_json(out / "demo.json") == receipt:
        return DemoSet(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not empty, and without a demo set of this seed; give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = scratch_path(out)
    try:
        _draw(partial, spec, seed, progress)
        write_json(partial / "demo.json", receipt)
        partial.replace(out)  # or over an empty folder
    finally:
        discard_scratch(partial)
    return DemoSet(out)


def _draw(folder: Path, spec: DemoSpec, seed: int, progress: Progress) -> None:
    labeled = plan_set(spec, seed)
    files = [*labeled, *plan_held_out(spec)]
    for name in sorted({str(Path(picture.path).parent) for picture in files}):
        (folder / name).mkdir(parents=True)
    jobs = [(picture, seed) for picture in files]
    # Processes, since drawing is mostly Python on small arrays; spawned, since fork is unsafe after OpenMP.
    with ProcessPoolExecutor(resolve_workers(0), mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, (picture, content) in enumerate(
            zip(files, pool.map(render, jobs, chunksize=_CHUNK), strict=True), start=1
        ):
            (folder / picture.path).write_bytes(content)
            progress(done, len(files))
    demo = DemoSet(folder)
    write_table(_table(labeled), demo.table)
    _write_pairs(demo.pairs, plan_pairs(spec, seed))
    contact_sheet(folder, labeled).save(demo.contact_sheet)


def render(job: tuple[Picture, int]) -> bytes:
    """Bytes of one planned picture; a function of the picture and the seed alone."""
    picture, seed = job
    rng = np.random.default_rng([seed, 2, picture.shot])
    match picture.kind:
        case Kind.BROKEN:
            return _broken(picture.shot, seed)
        case Kind.NON_FACE:
            return jpeg(draw_non_face(rng), int(rng.integers(45, 95)))
        case _:
            identity = sample_identity(np.random.default_rng([seed, 3, picture.person]))
            scene = sample_scene(rng, identity)
            image = photograph(draw_portrait(identity, scene), scene.camera, rng)
            if picture.kind is Kind.NEAR_DUPLICATE:
                image = _saved_again(image, np.random.default_rng([seed, 4, picture.shot]))
            return jpeg(image, scene.camera.quality)


def _saved_again(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cropped by a few pixels, resized, and a little brighter or darker."""
    left, top, right, bottom = rng.integers(0, 4, 4).tolist()
    cropped = image.crop((left, top, image.width - right, image.height - bottom))
    side = int(rng.integers(60, 110))
    gain = float(rng.uniform(0.92, 1.08))
    return cropped.resize((side, side), Image.Resampling.BICUBIC).point(lambda value: min(255, int(value * gain)))


def _broken(number: int, seed: int) -> bytes:
    """A scraped file that is no usable image."""
    whole = jpeg(draw_non_face(np.random.default_rng([seed, 5, number])), 80)
    tiny = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 60, 30)).save(tiny, "JPEG")
    forms = (
        whole[: len(whole) // 3],
        b"",
        b"<!doctype html><html><head><title>404 Not Found</title></head></html>\n",
        b"GIF89a" + bytes(range(64)),
        tiny.getvalue(),
    )
    return forms[number % len(forms)]


def _table(pictures: Sequence[Picture]) -> pa.Table:
    columns = ("path", "label", "true_label", "kind")
    return pa.table({name: [str(getattr(picture, name)) for picture in pictures] for name in columns})


def _write_pairs(path: Path, rows: Iterable[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=["a", "b", "same", "fold"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def contact_sheet(folder: Path, pictures: Sequence[Picture]) -> Image.Image:
    """One row per label, its name at the left, wrong images included."""
    rows: dict[str, list[Picture]] = {}
    for picture in pictures:
        if picture.kind is not Kind.BROKEN:
            rows.setdefault(picture.label, []).append(picture)
    shown = list(rows.items())[:_SHEET_ROWS]
    size = (_SHEET_MARGIN + _SHEET_COLUMNS * _SHEET_TILE, len(shown) * _SHEET_TILE)
    sheet = Image.new("RGB", size, (250, 250, 248))
    draw = ImageDraw.Draw(sheet)
    for row, (label, own) in enumerate(shown):
        name = label.replace("_", "\n")
        draw.multiline_text((6, row * _SHEET_TILE + 18), name, fill=(30, 30, 30), font=ImageFont.load_default(13))
        for column, picture in enumerate(own[:_SHEET_COLUMNS]):
            with Image.open(folder / picture.path) as image:
                tile = image.convert("RGB").resize((_SHEET_TILE - 2, _SHEET_TILE - 2), Image.Resampling.BICUBIC)
            sheet.paste(tile, (_SHEET_MARGIN + column * _SHEET_TILE, row * _SHEET_TILE + 1))
    return sheet
