"""The report in a real browser: hostile names, narrow and dark screens, sliders by keyboard, no scripts, in print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from purify.report.html import write_report
from purify.tables.schema import Reason
from tests.report.sample_run import Sample, build_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

HOSTILE_NAMES = [
    "<script>window.hacked=1</script>",
    "\"><img src=x onerror='window.hacked=1'>",
    "</script></style></svg><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "{{ 7 * 7 }} {% raw %} $\\frac{1}{2}$ &amp; 'quoted' \"twice\"",
    "\U0001f600 family \U0001f469\u200d\U0001f467 smiles",
    "\u202e\u05e9\u05dc\u05d5\u05dd right to left \u0645\u0631\u062d\u0628\u0627",
    "x" * 300,
    "tab\tand\nnew line and \x07 bell",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated run of hostile names: each a label with a kept, a relabeled, a dropped and a doubtful image."""
    samples, structure = [], {}
    for i, (name, other) in enumerate(zip(HOSTILE_NAMES, HOSTILE_NAMES[1:] + HOSTILE_NAMES[:1], strict=True)):
        ids = [f"{name}/{k}.png" for k in range(4)]
        samples += [
            Sample(ids[0], name, 40 + i, name, (other, 80), p_clean=0.9),
            Sample(ids[1], name, 80 + i, other, (other, 50), False, Reason.CLOSER_TO_OTHER_LABEL, other, 0.1, 1),
            Sample(ids[2], name, 90, "", (other, 85), False, Reason.OPEN_SET, None, 0.05, 2),
            Sample(ids[3], name, 70, other, None, False, Reason.SECOND_IDENTITY, None, 0.35),
        ]
        merge = {"label": other, "angle": 9.0, "evidence_ids": ids[:1]}
        flag = "duplicate_of" if i % 3 == 2 else "mixed"
        structure[name] = {"flag": flag, "split": [ids[:1], ids[3:]], "merge_with": [merge]}
    samples.append(Sample(f"{HOSTILE_NAMES[0]}/broken.png", HOSTILE_NAMES[1]))
    run = build_run(tmp_path_factory.mktemp("hostile"), samples, rule="calibrated/1", structure=structure)
    run.update_info(source=HOSTILE_NAMES[1], config={"note": HOSTILE_NAMES})
    return write_report(run.root)


def _open(browser: Browser, path: Path, **settings: Any) -> tuple[Page, list[str]]:
    page = browser.new_context(**settings).new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.on("request", lambda request: troubles.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page, troubles


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_are_text_and_break_nothing(browser: Browser, report: Path, width: int) -> None:
    page, troubles = _open(browser, report, viewport={"width": width, "height": 800})
    assert troubles == []
    assert page.evaluate("window.hacked") is None
    shown = " ".join(page.evaluate("document.body.textContent").split())
    for name in HOSTILE_NAMES:
        assert shown.count(" ".join(name.replace("\x07", "\ufffd").split())) >= 3 or "\x07" in name
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('script, style, iframe, object, form').length") == 2
    broken = "Array.from(document.images).filter((i) => !(i.loading == 'lazy' || (i.complete && i.naturalWidth)))"
    assert page.evaluate(f"{broken}.length") == 0
    page.context.close()


def test_the_sliders_work_by_keyboard_and_say_what_they_found(browser: Browser, report: Path) -> None:
    page, troubles = _open(browser, report)
    page.focus("#angle")
    said = page.text_content("#angle-said")
    assert said.startswith("75.0\u00b0: official would remove 18 (50.0\u00a0%)")
    before = page.evaluate("document.getElementById('mark').style.left")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert page.text_content("#angle-said").startswith("70.0\u00b0: official would remove 27 (75.0\u00a0%)")
    assert page.evaluate("document.getElementById('mark').style.left") != before
    live = page.text_content("tr[data-live=official]")
    assert live.startswith("official2775.0\u00a0%")
    assert page.locator(".at-angle:visible h4").all_text_contents() == ["70 to 75 degrees, 9 images"]
    assert page.get_attribute("#angle", "aria-valuetext") == "70.0\u00b0"
    assert troubles == []
    page.context.close()


def test_without_scripts_the_page_says_all(browser: Browser, report: Path) -> None:
    page, _ = _open(browser, report, java_script_enabled=False)
    assert not page.locator("#angle").is_visible()
    assert "official, 75\u00b0" in page.locator("#settings").text_content()
    assert page.locator(".at-angle").first.is_visible()
    page.context.close()


def test_dark_and_print_are_readable(browser: Browser, report: Path) -> None:
    page, _ = _open(browser, report, color_scheme="dark")
    colors = "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    assert page.evaluate(colors) == ["rgb(230, 233, 237)", "rgb(20, 24, 29)"]
    page.emulate_media(media="print", color_scheme="light")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#angle").is_visible()
    assert page.evaluate(colors)[0] == "rgb(29, 35, 43)"
    assert page.pdf().startswith(b"%PDF")
    page.context.close()
