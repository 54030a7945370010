"""Help of the group and of every command: sections, examples, width; names that are nearly right."""

from __future__ import annotations

import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.cli.app import SECTIONS
from purify.cli.command import ExampleCommand, ExampleGroup, walk

NAMES = sorted(main.commands)
EVERY = dict(walk(main.commands))


def _help(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*arguments, "--help"])
    assert result.exit_code == 0
    assert result.exception is None
    return result.stdout


def _is_plain(text: str) -> bool:
    return "\b" not in text and "\\b" not in text and "Traceback" not in text


@pytest.mark.parametrize("name", EVERY)
def test_each_command_explains_itself(name: str) -> None:
    text = _help(*name.split())
    assert _is_plain(text)
    assert max(map(len, text.splitlines())) <= 100
    example = text.rpartition("Example:\n")[2].strip()
    assert example.startswith(f"purify {name}")
    assert "\n" not in example


@pytest.mark.parametrize("name", EVERY)
def test_each_example_gives_what_its_command_requires(name: str) -> None:
    """With options that exist; the files of an example do not."""
    command = EVERY[name]
    assert isinstance(command, ExampleCommand | ExampleGroup)
    words = shlex.split(command.example.partition(" >")[0])[1:]
    if isinstance(command, ExampleGroup):
        command = EVERY[" ".join(words[:2])]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
    required = {parameter.opts[0] for parameter in command.params if parameter.required and parameter.opts[0][0] == "-"}
    assert required <= set(words)


def test_the_map_lists_every_command_in_a_section() -> None:
    text = _help()
    assert _is_plain(text)
    assert max(map(len, text.splitlines())) <= 80
    assert sorted(str(command.name) for commands in SECTIONS.values() for command in commands) == NAMES
    places = [text.index(f"{heading}:\n") for heading in SECTIONS]
    assert places == sorted(places)
    assert all(f"\n  {name} " in text for name in NAMES)
    examples = [line.strip() for line in text.partition("Examples:\n")[2].splitlines()]
    assert len(examples) >= 3
    assert all(example.split()[1] in NAMES for example in examples)


def test_no_line_of_the_map_is_cut() -> None:
    lines = [line for line in _help().splitlines() if line.split()[:1] and line.split()[0] in NAMES]
    assert [line for line in lines if line.endswith("...")] == []


@pytest.mark.parametrize(("typed", "meant"), [("aplly", "apply"), ("run_flow", "run-flow"), ("raport", "report")])
def test_a_name_that_is_nearly_right(typed: str, meant: str) -> None:
    result = CliRunner().invoke(main, [typed])
    assert result.exit_code == 2
    assert f"no command '{typed}'; did you mean '{meant}'?" in result.stderr


def test_a_name_that_is_like_none() -> None:
    result = CliRunner().invoke(main, ["zzz"])
    assert result.exit_code == 2
    assert "did you mean" not in result.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'pandas', 'faiss', 'prefect', 'pyarrow', 'numpy', 'matplotlib', 'fsspec'}"
    code = (
        f"import sys; from purify.cli import main; main(['--help'], standalone_mode=False); "
        f"print(*sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.split() == []
    assert "Usage:" in answer.stdout


def test_every_option_has_help() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in EVERY.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []
