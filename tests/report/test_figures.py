from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from purify.report.figures import angle_histogram, png_bytes, roc, svg_bytes

RNG = np.random.default_rng(0)
GROUPS = {"label right": RNG.normal(50, 8, 300).astype("f4"), "label wrong": RNG.normal(85, 6, 100).astype("f4")}
CURVES = {"raw": [(0.01, 0.2), (0.1, 0.5), (1.0, 1.0)], "purified": [(0.01, 0.4), (0.1, 0.7), (1.0, 1.0)]}


def test_the_histogram_counts_every_sample_and_shows_the_threshold() -> None:
    figure = angle_histogram(GROUPS, threshold=72.5)
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 400
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["label right (300)", "label wrong (100)", "threshold 72.5\u00b0"]
    (line,) = axes.lines
    assert list(line.get_xdata()) == [72.5, 72.5]


@pytest.mark.parametrize("degrees", [[], [np.nan, np.nan], [30.0, np.nan], [179.9]])
def test_the_histogram_stands_few_and_undefined_angles(degrees: list[float]) -> None:
    figure = angle_histogram({"all samples": np.array(degrees, dtype="f4")}, threshold=75)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == np.isfinite(degrees).sum()
    assert svg_bytes(figure)


def test_the_roc_draws_the_points_of_each_model() -> None:
    figure = roc(CURVES)
    assert [line.get_label() for line in figure.axes[0].lines] == ["raw", "purified"]
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xydata(), CURVES["purified"])
    assert figure.axes[0].get_xscale() == "log"


def test_svg_is_reproducible_valid_and_follows_the_color_scheme() -> None:
    first, again = (svg_bytes(angle_histogram(GROUPS, threshold=75)) for _ in range(2))
    assert first == again
    assert ET.fromstring(first).tag.endswith("svg")
    assert b"prefers-color-scheme: dark" in first
    assert b"currentColor" in first
    assert first.count(b"#010203") == 1  # the light scheme's ink; everything drawn with it follows the scheme


def test_png_is_reproducible_and_not_transparent() -> None:
    first, again = (png_bytes(roc(CURVES)) for _ in range(2))
    assert first == again
    with Image.open(io.BytesIO(first)) as image:
        assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
