"""Scenarios of covered faces: ``python -m benchmarks.covered lfw112.tar --out DIR``.

A third of the images show a drawn mask, sunglasses, or the face as a sketch; a fifth is under a wrong name, covered or
not. ``DIR/tables`` and ``DIR/embeddings.parquet`` (by dlib) are input of
``python -m benchmarks.detection --scenarios DIR/tables --embeddings DIR/embeddings.parquet``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from benchmarks.face_sets import Faces, Noise, scenario_command

_COVERED = 0.35
#: People with so many images, and so many of each.
_LEAST, _MOST = 8, 40
_MASKS = ((200, 220, 235), (240, 240, 240), (40, 40, 45), (120, 170, 210))
_DARK = (12, 12, 14)


def mask(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The face with a mask over mouth and nose, at 112 pixels a side."""
    pen, color = ImageDraw.Draw(image), _MASKS[rng.integers(len(_MASKS))]
    left, right, top = (float(place + rng.normal(0, 2)) for place in (18, 94, 62))
    pen.polygon([(left, top), (56, top - 6), (right, top), (92, 96), (74, 112), (38, 112), (20, 96)], fill=color)
    for fold in (14, 23, 32):
        pen.line([(24, top + fold), (88, top + fold)], fill=tuple(max(0, value - 25) for value in color))
    return image


def glasses(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The face with sunglasses."""
    pen, height = ImageDraw.Draw(image), float(50 + rng.normal(0, 2))
    for center in (38, 74):
        pen.ellipse([center - 17, height - 11, center + 17, height + 13], fill=_DARK)
    pen.line([(38, height - 3), (74, height - 3)], fill=_DARK, width=4)
    return image


def sketch(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The face as a pencil would draw it: its gray divided by its blurred gray."""
    gray = ImageOps.grayscale(image)
    blurred = np.asarray(ImageOps.invert(gray).filter(ImageFilter.GaussianBlur(rng.uniform(4, 6))), np.float64)
    drawn = np.clip(np.asarray(gray, np.float64) * 255 / (256 - blurred), 0, 255).astype(np.uint8)
    return Image.fromarray(drawn).convert("RGB")


_COVERS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "mask": mask,
    "glasses": glasses,
    "sketch": sketch,
}


def draw(faces: Faces, name: str, folder: Path, seed: int) -> pa.Table:
    """Write the images of a scenario to ``folder/name``; a table of path, label, true_label and kind."""
    rng = np.random.default_rng([seed, 29])
    people = faces.people(_LEAST, len(faces.archive.getmembers()), rng)
    noise, rows = Noise(faces, people, rng), []
    for label in people:
        for number, member in enumerate(faces.of[label][:_MOST]):
            shown = noise.shown(label, member)
            image = faces.image(shown.member)
            if rng.random() < _COVERED:
                image = _COVERS[name](image, rng)
            path = f"{name}/{label}/{number:02d}.jpg"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            image.save(folder / path, quality=92)
            rows.append({"path": path, "label": label, "true_label": shown.true, "kind": shown.kind})
    return pa.Table.from_pylist(rows)


main = scenario_command(
    draw,
    _COVERS,
    "Scenarios of covered faces made of those in TAR (FOLDER/PERSON/IMAGE), and their embeddings by dlib.",
)


if __name__ == "__main__":
    main()
