"""A rule from a plain function of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from purify.analysis.rules.angle_rules import Judgment, keep_or_drop
from purify.analysis.rules.rule import AngleEvidence, Outcome, Rule, RuleContext, identifier
from purify.analysis.scores import clean_score, degrees
from purify.arrays import Floats, Mask
from purify.errors import InputError
from purify.tables.schema import Reason

RuleFunction = Callable[[RuleContext], object]
"""Returns a bool array [N]: keep; a float array [N] in [0, 1]: score that the label is right; or an `Outcome`."""

_KEPT_FROM = 0.5


@dataclass(frozen=True)
class FunctionRule:
    """A rule whose decisions come from `function`; see `RuleFunction` for its return values.

    The rule takes ``version`` and ``probabilities`` from attributes of the function; without the latter its scores only
    rank.
    """

    name: str
    function: RuleFunction

    @property
    def version(self) -> int:
        """Attribute ``version`` of the function, or 1."""
        return int(getattr(self.function, "version", 1))

    @property
    def probabilities(self) -> bool:
        """Attribute ``probabilities`` of the function, or False."""
        return bool(getattr(self.function, "probabilities", False))

    def judge(self, context: RuleContext) -> Outcome:
        """Call the function, and complete its answer."""
        answer = self.function(context)
        if isinstance(answer, Outcome):
            return replace(answer, rule=identifier(self))
        values = np.asarray(answer)
        self._check(values, len(context.label_index))
        keep = values if values.dtype == np.bool_ else values >= _KEPT_FROM
        return self._completed(context, keep, values.astype(np.float64))

    def _check(self, values: np.ndarray, rows: int) -> None:
        kind = f"{values.dtype} of shape {values.shape}"
        if values.shape != (rows,) or values.dtype.kind not in "bf":
            raise InputError(f"rule {self.name}: returned {kind}; expected {rows} bools (keep) or floats (score)")
        if values.dtype.kind == "f" and not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"rule {self.name}: returned scores outside of [0, 1]")

    def _completed(self, context: RuleContext, keep: Mask, values: Floats) -> Outcome:
        """The outcome of a mask, or of scores."""
        angles = AngleEvidence.of(context.space_after(values), context.label_index)
        by_angle = clean_score(degrees(angles.cos_dominant), context.config.threshold)
        p_clean = by_angle if (values == keep).all() else values
        reasons = [Reason.NEAR_DOMINANT.value, Reason.CLOSER_TO_OTHER_LABEL.value]
        reason = np.select([keep, angles.cos_other > angles.cos_dominant], reasons, Reason.FAR_FROM_DOMINANT.value)
        return keep_or_drop(self, Judgment(keep, reason), angles, p_clean, context.config.threshold)


def as_rule(value: object, name: str | None = None) -> Rule:
    """`value` if it is a rule, or the rule of a function, named after it; InputError if it is neither."""
    if isinstance(value, Rule):
        return value
    if callable(value):
        return FunctionRule(name or str(getattr(value, "__name__", type(value).__name__)), value)
    raise InputError(f"rule {name or repr(value)}: expected a function of a RuleContext, or a Rule; got {type(value)}")
