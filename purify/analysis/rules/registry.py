"""Rules by name: built-in ones, and those of installed packages, by entry points ``purify.rules``."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from purify.analysis.rules.angle_rules import OFFICIAL, PAPER
from purify.analysis.rules.calibrated import CALIBRATED
from purify.analysis.rules.function_rule import as_rule
from purify.analysis.rules.rule import Rule
from purify.config import RULE_ENTRY_POINTS
from purify.errors import InputError

_BUILT_IN: dict[str, Rule] = {rule.name: rule for rule in (CALIBRATED, OFFICIAL, PAPER)}


def rule_names() -> list[str]:
    """Names of all rules, built-in ones first."""
    return [*_BUILT_IN, *sorted(set(_installed()) - set(_BUILT_IN))]


def get_rule(name: str) -> Rule:
    """Rule called `name`, or ``name/version``.

    Raises
    ------
    InputError
        If there is none, or a package's rule can't be loaded.
    """
    name = name.partition("/")[0]
    if rule := _BUILT_IN.get(name):
        return rule
    if entry := _installed().get(name):
        return _load(entry)
    names = rule_names()
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? There" if close else "there"
    raise InputError(f"analyze.rule: there is no rule {name!r}; {hint} are {', '.join(names)}")


def gives_probabilities(rule: str) -> bool:
    """Whether ``p_clean`` of that rule (``name/version``) is a probability; False for a rule not installed here."""
    name = rule.partition("/")[0]
    return name in rule_names() and get_rule(name).probabilities


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=RULE_ENTRY_POINTS)}


def _load(entry: EntryPoint) -> Rule:
    try:
        value = entry.load()
    except Exception as error:
        raise InputError(f"rule {entry.name}: can't load {entry.value}: {type(error).__name__}: {error}") from error
    return as_rule(value, entry.name)
