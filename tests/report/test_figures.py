from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from purify.report.canvas import png_bytes, svg_bytes
from purify.report.figures import (
    angle_histogram,
    class_histograms,
    contact_sheet,
    k_sweep,
    label_shares,
    noise_by_label,
    precision_sweep,
    roc,
    tar_at_far,
    threshold_sweep,
    transitions,
)
from purify.report.sweeps import Sweep

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


def test_the_axis_of_the_roc_is_read_as_powers_of_ten() -> None:
    texts = "".join(ET.fromstring(svg_bytes(roc(CURVES))).itertext())
    assert "mathdefault" not in texts
    assert "10" in texts


NAMES = ["$\\frac{x}$ costs $5", "\x07bell\u202eleb", "x" * 300, "</text><script>", "\u5f20\u4e09 \U0001f600"]


def test_names_of_any_kind_are_text_in_a_figure() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    figures = [
        class_histograms({name: GROUPS for name in NAMES}, threshold=75),
        contact_sheet([picture] * len(NAMES), NAMES, title=NAMES[0]),
        roc({name: CURVES["raw"] for name in NAMES}),
    ]
    for figure in figures:
        texts = "".join(ET.fromstring(svg_bytes(figure)).itertext())
        assert "bell" in texts
        assert "$\\frac{x}$" in texts
        assert "x" * 18 not in texts.replace("x" * 17, "", 1) or "x\u2026" in texts
        assert png_bytes(figure).startswith(b"\x89PNG")


def test_every_label_is_a_bar_of_its_shares() -> None:
    (axes,) = label_shares(np.array([[0.2, 0.8], [1.0, 0.0]])).axes
    first, second = (patch.get_data() for patch in axes.patches)
    assert first.values.tolist() == [1.0, 0.8]  # by falling share
    assert second.values.tolist() == [1.0, 1.0]
    assert label_shares(RNG.dirichlet([5, 1, 1], 3000)).axes[0].get_xlim() == (0, 400)


def test_noise_by_label_counts_the_labels_that_have_an_estimate() -> None:
    (axes,) = noise_by_label(np.array([0.1, 0.12, 0.9, np.nan])).axes
    assert sum(bar.get_height() for bar in axes.patches) == 3


def test_the_sweeps_draw_what_they_are_given() -> None:
    at, removed = np.array([60.0, 75.0]), np.array([80, 20])
    sweep = Sweep(at, removed, np.array([30.0, 18.0]), np.array([0.4, 0.9]), np.array([1.0, 0.6]))
    lines = threshold_sweep({"official": sweep}, images=100, threshold=75).axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), [0.8, 0.2])
    np.testing.assert_allclose(lines[1].get_ydata(), [0.3, 0.18])
    np.testing.assert_allclose(precision_sweep(sweep, images=100).axes[0].lines[0].get_ydata(), [0.8, 0.2])
    rows = [
        {
            "subcenters": k,
            "dominant_share": 1 / k,
            "removed_official": 0.2,
            "removed_paper": 0.3,
            "average_precision": None,
        }
        for k in (1, 2)
    ]
    assert len(k_sweep(rows).axes[0].lines) == 3  # without truth there is no average precision


def test_true_accept_rates_stand_with_their_intervals() -> None:
    models = {"raw": {"tar_at_far": {"0.1": {"value": 0.5, "interval": [0.4, 0.7]}}}, "purified": {"tar_at_far": {}}}
    (axes,) = tar_at_far(models).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1"]
    (segment,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [0.4, 0.7])


def test_transitions_write_every_count() -> None:
    (axes,) = transitions(["keep", "drop"], ["keep", "drop"], np.array([[1000, 2], [3, 4]])).axes
    assert [text.get_text() for text in axes.texts] == ["1,000", "2", "3", "4"]


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
