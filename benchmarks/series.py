"""Scenarios of series, as frames of videos: ``python -m benchmarks.series lfw112.tar --out DIR``.

Each image of a person becomes a series whose frames drift: shifted, turned, scaled, lit and blurred a little. A fifth
of the series is under a wrong name, as a whole. ``DIR/tables`` and ``DIR/embeddings.parquet`` (by dlib) are input of
``python -m benchmarks.detection --scenarios DIR/tables --embeddings DIR/embeddings.parquet``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.face_sets import Faces, Noise, scenario_command

_SIDE = 112
#: People with so many images, of which at most so many become series of so many frames.
_PEOPLE, _LEAST, _MOST, _SERIES, _FRAMES = 70, 5, 12, 8, (4, 15)
#: Share of the series of each scenario that are one image.
_SINGLE = {"series": 0.0, "series-and-images": 0.5}


def frames(image: Image.Image, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """So many JPEGs of an image, each changed a little further."""
    place, turn, light, scale = np.array([_SIDE / 2, _SIDE / 2]), 0.0, 0.0, 1.0
    for _ in range(count):
        place += rng.normal(0, 0.8, 2)
        turn, light, scale = turn + rng.normal(0, 1.2), light + rng.normal(0, 0.03), scale * rng.lognormal(0, 0.01)
        half = _SIDE / scale / 2
        box = np.clip(np.concatenate([place - half, place + half]), 0, _SIDE).tolist()
        frame = image.rotate(turn, Image.Resampling.BICUBIC)
        frame = frame.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(box[0], box[1], box[2], box[3]))
        frame = ImageEnhance.Brightness(frame).enhance(1 + float(np.clip(light, -0.3, 0.3)))
        if rng.random() < 0.2:
            frame = frame.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.3)))
        stream = io.BytesIO()
        frame.save(stream, "JPEG", quality=int(rng.integers(55, 92)))
        yield stream.getvalue()


def draw(faces: Faces, name: str, folder: Path, seed: int) -> pa.Table:
    """Write the frames of a scenario to ``folder/name``; a table of path, label, true_label and kind."""
    rng = np.random.default_rng([seed, 17])
    people = faces.people(_LEAST, _MOST, rng)[:_PEOPLE]
    noise, rows = Noise(faces, people, rng), []
    for label in people:
        for number, member in enumerate(faces.of[label][:_SERIES]):
            shown = noise.shown(label, member)
            count = 1 if rng.random() < _SINGLE[name] else int(rng.integers(*_FRAMES, endpoint=True))
            for frame, content in enumerate(frames(faces.image(shown.member), count, rng)):
                path = f"{name}/{label}/{number}-{frame:02d}.jpg"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
                rows.append({"path": path, "label": label, "true_label": shown.true, "kind": shown.kind})
    return pa.Table.from_pylist(rows)


main = scenario_command(
    draw, _SINGLE, "Scenarios of series made of the faces in TAR (FOLDER/PERSON/IMAGE), and their embeddings by dlib."
)


if __name__ == "__main__":
    main()
