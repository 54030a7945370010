"""The page in a real browser, against the real command in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import latest_reviews, read_reviews
from purify.tables.schema import CLEANED, MANIFEST, REMOVED, VERDICTS
from tests.review.small_run import EMOJI, HOSTILE, LONG, MARKUP, SAMPLES, build_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route
else:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")

from playwright.sync_api import expect

pytestmark = pytest.mark.slow
expect.set_options(timeout=30_000)  # a loaded machine is slow; nothing waits so long on a quiet one

_SUBJECT = "#review .subject > .note .label"
_LABEL = "#review .subject h2 .label"


@dataclass
class Servers:
    """`purify review` processes of a test; whatever is left of them is killed at its end."""

    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, run: RunFolder, *options: str) -> str:
        """Start one and return the page's address."""
        command = [sys.executable, "-m", "purify", "review", str(run.root), "--reviewer", "ann", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
        assert address
        return address.group()

    def kill(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    for process in servers.processes:
        process.kill()
        process.communicate()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 800}) as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        yield page
        assert faults == []


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#review.item")


def _subject(page: Page) -> str:
    """Name of the sample that is shown."""
    return page.text_content(_SUBJECT) or ""


def _press(page: Page, key: str) -> str:
    """Decide by a key on the sample that is shown, wait for the next one, and return its name."""
    sample = _subject(page)
    page.keyboard.press(key)
    expect(page.locator(_SUBJECT)).not_to_have_text(sample)
    return sample


def _open_label(page: Page, label: str) -> None:
    page.keyboard.press("/")
    page.fill("#search-words", label)
    page.keyboard.press("Enter")
    expect(page.locator("#label-page h2 .label")).to_have_text(label)


def _all_saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("all saved")


def _progress(page: Page, text: str) -> None:
    expect(page.locator("#progress-text")).to_contain_text(text)


def _late(route: Route) -> None:
    """Let a request of the page wait, as on a busy machine."""
    time.sleep(0.2)
    route.continue_()


def _decided(run: RunFolder) -> dict[str, tuple[str, str | None]]:
    rows = latest_reviews(read_reviews(run.reviews)).to_pylist()
    return {row["sample_id"]: (row["decision"], row["new_label"]) for row in rows}


def test_ten_faces_by_keyboard_a_reload_a_kill_an_undo_and_apply(
    page: Page, servers: Servers, run: RunFolder, tmp_path: Path
) -> None:
    _open(page, servers.start(run))
    assert _subject(page) == "Bo/left.png"  # what the rule left to a person comes first
    verdicts = {row["sample_id"]: row for row in read_table(run.verdicts, VERDICTS).to_pylist()}
    expected: dict[str, tuple[str, str | None]] = {}
    for key in "kdkdoky":
        verdict = verdicts[_subject(page)]
        meant = {
            "k": ("keep", None),
            "d": ("drop", None),
            "o": ("relabel", verdict["other_label"]),
            "y": (verdict["decision"], verdict["new_label"]),
        }
        expected[_press(page, key)] = meant[key]
    sample = _subject(page)
    page.keyboard.press("r")
    page.keyboard.type("A new name")
    page.keyboard.press("Enter")
    expect(page.locator(_SUBJECT)).not_to_have_text(sample)
    expected[sample] = ("relabel", "A new name")
    expected[_press(page, "d")] = ("drop", None)
    last = _press(page, "k")
    expected[last] = ("keep", None)
    assert len(expected) == 10
    _all_saved(page)
    _progress(page, f"10 of {len(SAMPLES)} faces reviewed")
    servers.kill()
    assert _decided(run) == expected

    _open(page, servers.start(run))
    shown = _subject(page)
    assert shown not in expected
    page.reload()
    page.wait_for_selector("#review.item")
    assert _subject(page) == shown
    assert "token" not in page.url
    _progress(page, f"10 of {len(SAMPLES)} faces reviewed")
    page.keyboard.press("u")
    expect(page.locator(_SUBJECT)).to_have_text(last)
    _progress(page, f"9 of {len(SAMPLES)} faces reviewed")
    del expected[last]
    assert _decided(run) == expected
    servers.processes[-1].send_signal(signal.SIGINT)
    output, _ = servers.processes[-1].communicate(timeout=60)
    assert servers.processes[-1].returncode == 0
    assert "reviewed  9" in output
    assert f"purify apply '{run.root}'" in output

    out = tmp_path / "applied"
    words = ["apply", run.manifest, "--verdicts", run.verdicts, "--reviews", run.reviews, "--out", out]
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    final = {}
    for sample, verdict in verdicts.items():
        decision, new_label = expected.get(sample, (verdict["decision"], verdict["new_label"]))
        if decision in ("keep", "relabel"):
            final[sample] = new_label or verdict["label"]
    cleaned = read_table(out / "cleaned.parquet", CLEANED)
    assert dict(zip(cleaned["sample_id"].to_pylist(), cleaned["label"].to_pylist(), strict=True)) == final
    removed = read_table(out / "removed.parquet", REMOVED)["sample_id"].to_pylist()
    assert {*removed} == verdicts.keys() - final.keys()


def test_two_tabs_do_not_overwrite_each_other(page: Page, servers: Servers, run: RunFolder) -> None:
    address = servers.start(run)
    _open(page, address)
    other = page.context.new_page()
    other.route("**/api/changes*", lambda route: route.abort())  # it doesn't hear of the first tab in time
    _open(other, address)
    sample, after = _subject(page), _press(other, "s")
    assert sample == after
    _press(page, "d")
    _all_saved(page)
    other.keyboard.press("b")
    expect(other.locator(_SUBJECT)).to_have_text(sample)
    _press(other, "k")
    other.wait_for_selector("#toast:not([hidden])")
    assert "Someone decided this face meanwhile: drop. It stays so." in (other.text_content("#toast") or "")
    assert _decided(run) == {sample: ("drop", None)}

    second = _press(other, "k")  # knowing of it, the second tab goes on, and the first one hears of that
    _all_saved(other)
    _progress(page, f"2 of {len(SAMPLES)} faces reviewed")
    other.click("#toast button")
    expect(other.locator(_SUBJECT)).to_have_text(sample)
    assert "Decided: drop by ann" in (other.text_content("#review .now") or "")
    _press(other, "k")  # it has seen the other decision, and overrides it
    _all_saved(other)
    assert _decided(run) == {sample: ("keep", None), second: ("keep", None)}
    other.keyboard.press("u")
    _progress(page, f"2 of {len(SAMPLES)} faces reviewed")
    expect(other.locator(_SUBJECT)).to_have_text(sample)
    assert _decided(run) == {sample: ("drop", None), second: ("keep", None)}


def test_a_split_a_merge_and_a_search(page: Page, servers: Servers, run: RunFolder) -> None:
    _open(page, servers.start(run))
    page.keyboard.press("/")
    page.wait_for_selector("#search-found button")
    proposals = page.eval_on_selector_all("#search-found .label", "nodes => nodes.map(node => node.textContent)")
    assert proposals == ["Ann", "Bo_2"]
    page.keyboard.type("ANN")
    expect(page.locator("#search-found li")).to_have_count(1)
    page.keyboard.press("Enter")
    second = page.locator("section.group", has_text="Person 2")
    second.locator(".pick").first.click()  # leave one out
    assert "1 of 2 chosen" in (second.text_content() or "")
    second.get_by_role("button", name=re.compile("^Relabel")).click()
    assert page.input_value("#relabel-name") == "Ann (2)"
    page.keyboard.press("Enter")
    page.wait_for_selector("#toast:not([hidden])")
    _all_saved(page)
    assert _decided(run) == {"Ann/other.png": ("relabel", "Ann (2)")}

    page.keyboard.press("/")
    page.keyboard.type("bo 2")
    expect(page.locator("#search-found li")).to_have_count(1)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Relabel these to Bo").click()
    expect(page.locator("#toast")).to_have_text(re.compile("^2 faces: relabel to Bo"))
    assert _decided(run)["Bo_2/1.png"] == ("relabel", "Bo")
    page.keyboard.press("u")
    expect(page.locator("#toast")).to_have_text("Taken back: 2 faces.")
    assert _decided(run) == {"Ann/other.png": ("relabel", "Ann (2)")}
    page.keyboard.press("Escape")
    page.wait_for_selector("#review.item:not([hidden])")


@pytest.mark.parametrize(
    ("typed", "moves", "new_label"),
    [
        ("an", 0, "Ann"),  # the one match
        ("an", 1, "an"),  # ... unless the new label below it is chosen
        ("bo", 0, "Bo"),  # several match, one exactly but for its case
        ("bo 2", 0, "Bo_2"),
        ("o", 1, "Bo_2"),  # several match: the highlighted one
        ("Someone new", 0, "Someone new"),
    ],
)
def test_enter_takes_the_highlighted_label(
    page: Page, servers: Servers, run: RunFolder, typed: str, moves: int, new_label: str
) -> None:
    plain = [sample for sample in SAMPLES if sample.label in ("Ann", "Bo", "Bo_2")]
    run = build_run(run.root.parent / "plain", plain)
    _open(page, servers.start(run))
    page.route("**/api/labels*", _late)  # Enter comes before the list of what was typed
    sample = _subject(page)
    page.keyboard.press("r")
    page.fill("#relabel-name", typed)
    if moves:
        expect(page.locator("#relabel-found .label").last).to_have_text(typed)  # the new label
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(_SUBJECT)).not_to_have_text(sample)
    _all_saved(page)
    assert _decided(run) == {sample: ("relabel", new_label)}


def test_dropping_a_group_keeps_its_proposed_relabels(page: Page, servers: Servers, run: RunFolder) -> None:
    _open(page, servers.start(run))
    _open_label(page, "Ann")
    second = page.locator("section.group", has_text="Person 2")
    expect(second).to_contain_text("1 proposed relabel is kept when the group is dropped.")
    second.get_by_role("button", name="Drop", exact=True).click()
    expect(page.locator("#toast")).to_contain_text("1 faces: drop. 1 proposed relabel is kept")
    _all_saved(page)
    assert _decided(run) == {"Ann/second.png": ("drop", None)}
    second.get_by_role("button", name="Drop", exact=True).click()  # only the relabel is left
    expect(page.locator("#toast")).to_contain_text("Nothing is dropped. 1 proposed relabel is kept")
    assert _decided(run) == {"Ann/second.png": ("drop", None)}


def test_all_counters_follow_decisions_groups_undo_and_other_tabs(page: Page, servers: Servers, run: RunFolder) -> None:
    address = servers.start(run)
    _open(page, address)
    other = page.context.new_page()
    _open(other, address)

    def counts(tab: Page, *, left: int, reviewed: int, removed: int) -> None:
        _progress(tab, f"{reviewed} of {len(SAMPLES)} faces reviewed")
        expect(tab.locator("#view option[value=informative]")).to_have_text(f"most informative first ({left} left)")
        expect(tab.locator("#view option[value=removed]")).to_have_text(f"removed or left open ({removed} left)")

    n = len(SAMPLES)
    counts(page, left=n, reviewed=0, removed=4)
    first = _press(page, "d")  # Bo/left.png; the next face of Bo came with the same answer
    for tab in (page, other):
        counts(tab, left=n - 1, reviewed=1, removed=3)
    _open_label(page, "Bo")
    expect(page.locator("#label-page .said")).to_contain_text("6 images \u00b7 1 reviewed")
    _open_label(other, "Bo")
    group = page.locator("section.group", has_text="Sub-center 0")
    theirs = other.locator("section.group", has_text="Sub-center 0")
    expect(group).to_contain_text("5 of 6 chosen")
    group.get_by_role("button", name="Keep as").click()
    for tab, card in ((page, group), (other, theirs)):
        expect(card).to_contain_text("0 of 6 chosen")
        expect(tab.locator("#label-page .said")).to_contain_text("6 reviewed")
        expect(card.locator(".tag.keep")).to_have_count(5)
        counts(tab, left=n - 6, reviewed=6, removed=2)
    page.keyboard.press("u")
    for tab, card in ((page, group), (other, theirs)):
        expect(card).to_contain_text("5 of 6 chosen")
        expect(tab.locator("#label-page .said")).to_contain_text("1 reviewed")
        counts(tab, left=n - 1, reviewed=1, removed=3)
    assert _decided(run) == {first: ("drop", None)}
    page.keyboard.press("/")
    page.fill("#search-words", "bo")
    expect(page.locator("#search-found button", has_text="6 images")).to_contain_text("1 reviewed")


def test_the_count_of_a_label_beside_a_face_is_that_of_now(page: Page, servers: Servers, run: RunFolder) -> None:
    only = [sample for sample in SAMPLES if sample.label == "Ann"]
    _open(page, servers.start(build_run(run.root.parent / "only", only)))
    facts = page.locator("#review .facts")
    for reviewed in range(4):  # these faces all came before the first decision
        expect(facts).to_contain_text(f"9, {reviewed} reviewed")
        _press(page, "k")
    page.keyboard.press("u")
    expect(facts).to_contain_text("9, 3 reviewed")


def test_a_finished_view_goes_on_when_a_decision_is_taken_back_elsewhere(
    page: Page, servers: Servers, run: RunFolder
) -> None:
    address = servers.start(build_run(run.root.parent / "two", [s for s in SAMPLES if s.label == "Bo_2"]))
    _open(page, address)
    other = page.context.new_page()
    _open(other, address)
    for _ in range(2):
        _press(page, "k")
    page.keyboard.press("k")
    expect(page.locator("#review")).to_contain_text("Nothing is left in this view.")
    expect(page.locator("#review")).not_to_contain_text("null")
    _all_saved(page)  # else the other tab may find nothing to undo
    other.keyboard.press("u")
    expect(page.locator(_SUBJECT)).to_contain_text("Bo_2/")
    expect(page.locator("#view option[value=informative]")).to_contain_text("(1 left)")


def test_a_run_without_images_is_reviewed_by_name_until_they_are_given(
    page: Page, servers: Servers, run: RunFolder
) -> None:
    manifest = read_table(run.manifest, MANIFEST)
    nulls = {name: pa.nulls(len(manifest), MANIFEST.field(name).type) for name in ("uri", "width", "height", "sha256")}
    columns = [nulls.get(name, manifest[name]) for name in MANIFEST.names]
    write_table(pa.table(columns, schema=MANIFEST), run.manifest)
    before = run.manifest.read_bytes()
    _open(page, servers.start(run))
    expect(page.locator("#no-images")).to_be_visible()
    expect(page.locator("#no-images")).to_contain_text("purify review RUN --images FOLDER")
    assert page.locator("img").count() == 0
    assert "Ann/unsure.png" in (page.text_content(".evidence") or "")
    sample = _press(page, "d")
    _all_saved(page)
    servers.kill()
    _open(page, servers.start(run, "--images", str(run.root.parent / "images")))
    expect(page.locator("#no-images")).to_be_hidden()
    expect(page.locator(".subject img.face")).to_have_js_property("naturalWidth", 448)  # its size isn't known
    assert _decided(run) == {sample: ("drop", None)}
    assert run.manifest.read_bytes() == before


def test_hostile_names_are_text_everywhere(page: Page, servers: Servers, run: RunFolder) -> None:
    _open(page, servers.start(run))
    seen = set()
    for _ in range(len(SAMPLES) - 1):
        label = page.text_content(_LABEL) or ""
        if label in HOSTILE:
            seen.add(label)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        _press(page, "s")
    assert seen == {*HOSTILE}
    page.keyboard.press("b")
    page.route("**/api/labels*", _late)
    for label in HOSTILE:
        page.keyboard.press("/")
        page.wait_for_selector("#search[open]")
        page.fill("#search-words", label)
        page.keyboard.press("Enter")  # before the list is that of these words
        expect(page.locator("#label-page h2 .label")).to_have_text(label)
        expect(page.locator("#search-found li")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("Escape")
    sample = _subject(page)
    page.keyboard.press("r")
    page.fill("#relabel-name", MARKUP)
    page.keyboard.press("Enter")
    expect(page.locator(_SUBJECT)).not_to_have_text(sample)
    _all_saved(page)
    assert [*_decided(run).values()] == [("relabel", MARKUP)]
    assert page.title() == "Review run 1"
    assert page.locator("main script, main b, img[onerror]").count() == 0


def test_a_phone_and_a_screen_reader_have_all_of_it(browser: Browser, servers: Servers, run: RunFolder) -> None:
    address = servers.start(run)
    phone = {"width": 390, "height": 800}
    with browser.new_context(viewport=phone, has_touch=True, color_scheme="dark") as context:  # type: ignore[arg-type]
        page = context.new_page()
        _open(page, address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        keep = page.get_by_role("button", name="Keep")
        assert keep.is_visible()
        assert page.get_by_role("img", name="face to decide on").is_visible()
        assert page.evaluate("document.getElementById('announcer').textContent").strip().startswith("Face labeled Bo.")
        keep.tap()
        _all_saved(page)
        assert _decided(run) == {"Bo/left.png": ("keep", None)}
        assert all(page.eval_on_selector_all("button", "nodes => nodes.map(node => node.textContent.trim() !== '')"))


def test_pictures_come_from_the_run_and_a_lost_server_is_told(page: Page, servers: Servers, run: RunFolder) -> None:
    _open(page, servers.start(run))
    picture = page.locator(".subject img.face")
    expect(picture).to_have_js_property("naturalWidth", 40)
    servers.kill()
    sample = _press(page, "d")
    expect(page.locator("#trouble")).to_contain_text("Not saved yet")
    expect(page.locator("#trouble")).to_be_visible()
    assert page.text_content("#saved") == "saving 1 ..."
    assert not run.reviews.exists(), sample


def test_the_labels_of_the_small_run_are_as_hostile_as_they_should_be() -> None:
    assert len(LONG) == 300
    assert "<script>" in MARKUP
    assert any(ord(character) > 0xFFFF for character in EMOJI)
