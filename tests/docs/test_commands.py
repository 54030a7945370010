"""Every command and every Python block of the documentation works, page by page, on small stand-ins for its data.

A shell or Python block without ``<!-- not run: REASON -->`` before it is run. Commands are as they stand, but:

- commands that train get the settings of `stand_ins.SHORT_TRAINING` and, without pairs, compare no models; the demo
  set is a smaller one;
- ``make TARGET`` is a dry run: it would install, or run these tests;
- ``purify review`` is stopped as soon as its page answers; a decision of its user is then written for it;
- a run that another page makes by the same arguments, but for its name, is copied.

Of the blocks that are not run, and of code within the text, all options and settings must exist.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.cli.command import walk
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import InputError
from tests.docs.pages import PAGES, REPOSITORY, Block, blocks, given, inline_code, name_of, purify_arguments
from tests.docs.stand_ins import NO_COMPARISON, SHORT_TRAINING, Draw, draw_stand_ins

EVERY = dict(walk(main.commands))
_RUN = ("sh", "python", "toml")
_SHOWN = ("text", "sql", "json")
_TRAINS = ("run-flow", "train")
_SETTING = re.compile(rf"(?:--set )?((?:{'|'.join(PurifyConfig.model_fields)})\.\w+(?:=\S*)?)")


def _is_slow(page: Path) -> bool:
    return any(
        (purify_arguments(words) or [""])[0] in (*_TRAINS, "review")
        for block in blocks(page)
        if block.language == "sh" and not block.excuse
        for words in block.commands()
    )


_RUNNABLE = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if _is_slow(page) else [])
    for page in PAGES
    if any(block.language in ("sh", "python") and not block.excuse for block in blocks(page))
]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory, draw_stripes: Draw) -> Path:
    folder = tmp_path_factory.mktemp("stand-ins")
    draw_stand_ins(folder, draw_stripes)
    return folder


class MadeRuns:
    """Runs that pages have made, each once: for another page that makes it on the same files, it is copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, arguments: list[str]) -> None:
        """Make the run of ``run-flow`` with these arguments, of which the name does not count."""
        name, rest = _without_name(arguments)
        runs = Path(rest[rest.index("--out") + 1])
        kept = self._folder / _digest(rest)
        if (runs / name).exists():  # an update
            _purify(arguments)
        elif kept.exists():
            shutil.copytree(kept, runs / name)
        else:
            before = {*runs.glob("*")}
            _purify(arguments)
            (made,) = {*runs.glob("*")} - before
            shutil.copytree(made, kept)


def _without_name(arguments: list[str]) -> tuple[str, list[str]]:
    if "--name" not in arguments:
        return "unnamed", arguments
    at = arguments.index("--name")
    return arguments[at + 1], arguments[:at] + arguments[at + 2 :]


def _digest(arguments: list[str]) -> str:
    """Of all that decides a run: its arguments, the environment, and the files here but for other runs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    digest = hashlib.sha256(repr((arguments, sorted(environment.items()))).encode())
    for path in sorted(Path().rglob("*")):
        if path.is_file() and path.parts[0] != "runs":
            digest.update(path.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory: pytest.TempPathFactory) -> MadeRuns:
    return MadeRuns(tmp_path_factory.mktemp("made"))


@pytest.fixture
def workplace(stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the documentation names, at the same place for all pages."""
    folder = stand_ins.parent / "workplace"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stand_ins, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BROWSER", "true")  # `--open` opens nothing
    monkeypatch.setattr(sys, "path", list(sys.path))
    _use_small_demo(monkeypatch)
    return folder


def _use_small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    import purify_demo.request as demo

    spec = {"identities": 5, "mean_images": 12, "most_images": 16, "broken": 2, "held_out": 4, "held_out_images": 3}
    from purify_demo import DemoSpec

    small = functools.partial(demo.write_demo, spec=DemoSpec(**spec, pairs=20))
    monkeypatch.setattr(demo, "write_demo", small)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("page", _RUNNABLE)
def test_page(page: Path, workplace: Path, made_runs: MadeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in map(Path, given(page)):
        judged = ["run-flow", "scraped.parquet", "--embeddings", "embeddings.parquet", "--images", "faces/"]
        made_runs.run([*judged, "--out", str(run.parent), "--name", run.name, "--set", "retrain.enabled=false"])
    names: dict[str, object] = {}
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.excuse:
            continue
        if block.language == "python":
            exec(compile(block.code, where, "exec"), names)
        if block.language == "sh":
            for words in block.commands():
                _run(words, where, made_runs, monkeypatch)
    sys.modules.pop("strict", None)


def _run(words: list[str], where: str, made_runs: MadeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    match words:
        case ["export", *settings]:
            for setting in settings:
                name, _, value = setting.partition("=")
                monkeypatch.setenv(name, os.path.expandvars(value))
        case ["make", target]:
            command = ["make", "--dry-run", "--directory", str(REPOSITORY), target]
            subprocess.run(command, check=True, capture_output=True)
        case ["rm", "-r", folder]:
            shutil.rmtree(folder)
        case ["purify", "review", *arguments]:
            _review(arguments)
        case ["purify", "run-flow", source, *options] if not source.startswith("--") and "--out" in options:
            made_runs.run(["run-flow", source, *options])
        case ["purify", *arguments]:
            _purify(arguments)
        case _:
            pytest.fail(f"{where}: {words[0]!r} is neither run by this test nor marked by <!-- not run: REASON -->")


def _purify(arguments: list[str]) -> None:
    if arguments[0] in _TRAINS and "--resume" not in arguments:
        compares = "--pairs" in arguments or arguments[1].startswith("--")  # the demo set has pairs of its own
        settings = SHORT_TRAINING if compares else (*SHORT_TRAINING, *NO_COMPARISON)
        arguments = [*arguments, *(word for setting in settings for word in ("--set", setting))]
    if arguments[0] == "invert":
        arguments = [*arguments, "--set", "invert.steps=4"]
    if arguments[0] == "analyze":  # a network that was trained so shortly keeps larger angles
        arguments = [*arguments, "--set", "analyze.threshold=88"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"purify {' '.join(arguments)}\n{result.output}"


def _review(arguments: list[str]) -> None:
    """Serve the page until it answers; Ctrl-C ends it."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-u", "-m", "purify", "review", *arguments]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            address = next((found[0] for line in server.stdout if (found := re.search(r"http://\S+", line))), None)
            errors.seek(0)
            assert address, errors.read()
            with urllib.request.urlopen(address) as page:
                assert page.status == 200
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            server.kill()
    _decide(Path(arguments[0]))


def _decide(run: Path) -> None:
    """A decision, as a person would have left one."""
    sample = pq.read_table(run / "manifest.parquet")["sample_id"][0].as_py()
    pq.write_table(pa.table({"sample_id": [sample], "decision": ["keep"]}), run / "reviews.parquet")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_settings_exist(page: Path) -> None:
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        assert block.language in (*_RUN, *_SHOWN), f"{where}: a block in {block.language or 'no language'}"
        if block.language == "sh":
            for words in block.commands():
                if (arguments := purify_arguments(words)) is not None:
                    _parse(arguments, where)
        if block.language == "toml" and not block.excuse:
            _load_toml(block, where)
    for code in inline_code(page):
        _check_inline(code, f"{name_of(page)}: `{code}`")


def _parse(arguments: list[str], where: str) -> None:
    """Fail where the command or an option does not exist, or lacks its value."""
    name, words = _split_name(arguments)
    command = EVERY.get(name)
    assert command is not None, f"{where}: there is no command {name!r}"
    context = click.Context(command, info_name=name)
    try:
        values, rest, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")
    assert not rest, f"{where}: too many arguments: {rest}"
    for setting in values.get("overrides") or ():
        _load_setting(setting, where)


def _split_name(words: list[str]) -> tuple[str, list[str]]:
    """The full name of a command, and its arguments."""
    depth = 2 if isinstance(main.commands.get(words[0]), click.Group) and len(words) > 1 else 1
    return " ".join(words[:depth]), list(words[depth:])


def _load_setting(setting: str, where: str) -> None:
    """Fail where there is no such setting, or the value is none of its values; checks of several settings may fail."""
    section, _, key = setting.partition("=")[0].partition(".")
    fields = type(getattr(PurifyConfig(), section)).model_fields
    assert key in fields, f"{where}: there is no setting {section}.{key}"
    if "=" in setting:
        try:
            load_config(None, [setting])
        except InputError as error:
            if not re.search("needs runner|model.weights", str(error)):
                pytest.fail(f"{where}: {error}")


def _load_toml(block: Block, where: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(block.code, encoding="utf-8")
        try:
            load_config(path)
        except InputError as error:
            pytest.fail(f"{where}: {error}")


def _check_inline(code: str, where: str) -> None:
    if found := _SETTING.fullmatch(code):
        if not found[1].endswith((".parquet", ".json", ".toml", ".py", ".rec", ".idx")):
            _load_setting(found[1], where)
    elif re.match(r"purify [a-z]", code):
        name, words = _split_name(code.split()[1:])
        assert name in EVERY, f"{where}: there is no command {name!r}"
        known = {option for parameter in EVERY[name].params for option in parameter.opts} | {"--help"}
        unknown = {word for word in words if word.startswith("--")} - known
        assert not unknown, f"{where}: no such options: {sorted(unknown)}"
