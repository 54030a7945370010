"""Draw the README's picture, a demo run before and after: ``python -m benchmarks.before_after --help``."""

from __future__ import annotations

import io
from pathlib import Path

import click
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from purify.pipeline.results import read_run

_COLUMNS, _TILE, _EDGE, _MARGIN, _HEADING, _GAP = 13, 68, 3, 78, 24, 14
_PAPER, _INK, _GRAY, _WRONG = (255, 255, 255), (31, 35, 40), (110, 118, 129), (215, 38, 49)


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--label", "labels", multiple=True, default=("Elisa_Dasen", "Viton_Nyley", "Tara_Gradar"))
@click.option("--seed", default=0, show_default=True, help="Which images of a label are shown.")
def main(run: Path, picture: Path, labels: tuple[str, ...], seed: int) -> None:
    """Draw labels of the finished demo run RUN before and after, wrong images framed red, into PICTURE."""
    tables = read_run(run)
    height = len(labels) * (_HEADING + 2 * _TILE + _GAP)
    sheet = Image.new("RGB", (_MARGIN + _COLUMNS * _TILE, height), _PAPER)
    top = 0
    for label in labels:
        _heading(sheet, label, top)
        for row, (when, table) in enumerate((("scraped", tables.manifest), ("purified", tables.cleaned))):
            images = table[(table["label"] == label) & (table["status"] == "ok")]
            _row(sheet, when, images, top + _HEADING + row * _TILE, seed)
        top += _HEADING + 2 * _TILE + _GAP
    buffer = io.BytesIO()
    sheet.quantize(200, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    picture.write_bytes(buffer.getvalue())
    click.echo(f"{picture}: {len(buffer.getvalue()) // 1000} kB")


def _heading(sheet: Image.Image, label: str, top: int) -> None:
    ImageDraw.Draw(sheet).text((0, top), label.replace("_", " "), fill=_INK, font=ImageFont.load_default(16))


def _row(sheet: Image.Image, when: str, images: pd.DataFrame, top: int, seed: int) -> None:
    """Images of a label in a random order; the frame shows the truth, which purification does not see."""
    draw = ImageDraw.Draw(sheet)
    draw.text((0, top + _TILE // 2 - 16), f"{when}\n{len(images)} images", fill=_GRAY, font=ImageFont.load_default(13))
    order = np.random.default_rng(seed).permutation(len(images))[:_COLUMNS]
    for column, image in enumerate(images.iloc[order].to_dict("records")):
        left = _MARGIN + column * _TILE
        if image["true_label"] != image["label"]:
            draw.rectangle((left, top, left + _TILE - 3, top + _TILE - 3), fill=_WRONG)
        with Image.open(image["uri"].removeprefix("file://")) as face:
            side = _TILE - 2 - 2 * _EDGE
            tile = face.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(tile, (left + _EDGE, top + _EDGE))


if __name__ == "__main__":
    main()
