"""The outcome of a run in a few lines: findings, trust, gain, report, and next steps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from purify.analysis.rules.removal import UNJUDGED
from purify.evaluation.gain import finding, gap_sentence
from purify.evaluation.unseen_pairs import left_out
from purify.pipeline.judging_rule import JudgingRule, told_of_looks
from purify.report.notices import FALLBACK_CAUSES
from purify.report.run_overview import counts, missing_images, noise_of
from purify.report.run_tables import RunTables, read_run
from purify.storage.run_folder import RunFolder

_INDENT = " " * 8


def closing_lines(run: RunFolder) -> list[str]:
    """Closing lines of a run; those with a path or a command begin with ``Report``, ``Next`` or spaces.

    Parameters
    ----------
    run
        A run with verdicts; report and evaluation are optional.

    Returns
    -------
    list of str
        Warnings, if any, then one line each for ``Found``, ``Trust``, ``Gain`` and ``Report``, and those of ``Next``.
    """
    tables = read_run(run.root)
    rule = _rule(tables)
    warnings = [_missing_images(tables), _fallback(rule, tables), _suspected_looks(rule)]
    return [
        *([f"Warning: {tables.weak}."] if tables.weak else []),
        *(f"Warning: {warning}." for warning in (*tables.info.get("damage", []), *tables.source_warnings)),
        *filter(None, warnings),
        *([f"Warning: {tables.pairs_warning}."] if tables.pairs_warning else []),
        f"Found:  {_found(tables)}",
        f"Trust:  {_trust(tables, rule)}",
        f"Gain:   {_gain(tables)}",
        f"Report: {_report(run)}",
        *_next(run, tables),
    ]


def _missing_images(tables: RunTables) -> str | None:
    """Warning about missing images; None if there are none, or if the source has warned of them."""
    missing = missing_images(tables.manifest, tables.source_warnings)
    if not len(missing):
        return None
    return (
        f"Warning: {len(missing):,} of {len(tables.manifest):,} images were not found (the first: "
        f"{missing['sample_id'][0].as_py()}) and are left out. Start anew with the folder or .tar that holds them: "
        "--images FOLDER"
    )


def _rule(tables: RunTables) -> JudgingRule:
    """The rule in ``run.json``; for runs of former versions, derived from the verdicts."""
    known = tables.info.get("judged_by")
    if known is not None:
        return JudgingRule(**{entry.name: known[entry.name] for entry in fields(JudgingRule) if entry.name in known})
    asked = tables.info.get("config", {}).get("analyze", {}).get("rule", "")
    fallback = tables.rule.partition("/")[0] != asked
    why = FALLBACK_CAUSES if fallback else "the rule asked for"
    return JudgingRule(asked, tables.rule, tables.calibrated, fallback, why)


def _fallback(rule: JudgingRule, tables: RunTables) -> str | None:
    if not rule.fallback:
        return None
    if rule.rule == UNJUDGED:
        return f"Warning: {rule.why}."
    return (
        f"Warning: {rule.why}, so that rule {rule.asked} could not judge; rule {rule.rule} did, by a fixed angle of "
        f"{tables.threshold:g} degrees. Look at the removed images before you use the result."
    )


def _suspected_looks(rule: JudgingRule) -> str | None:
    if rule.suspected_looks is None:
        return None
    return f"Warning: {told_of_looks(rule.suspected_looks)} --several-looks."


def _found(tables: RunTables) -> str:
    found = counts(tables.manifest, tables.verdicts)
    usable = len(tables.verdicts)
    parts = [f"kept {found['kept']:,} of {usable:,} images ({_percent(found['kept'], usable)})"]
    if found["relabeled"]:
        parts.append(f"{found['relabeled']:,} of them under another label")
    removed = f"removed {found['removed']:,} ({_percent(found['removed'], usable)})"
    parts.append(f"{removed}, {found['review']:,} of them for review" if found["review"] else removed)
    if found["not usable"]:
        parts.append(f"{found['not usable']:,} more were unusable")
    return f"{_update(tables.info)}{'; '.join(parts)}."


def _update(info: Mapping[str, Any]) -> str:
    update = info.get("growth") or {}
    if update.get("nothing_new"):
        return "nothing new in the source. In all, "
    new, changed, gone = (update.get(name, 0) for name in ("new", "changed", "gone"))
    if update.get("update", 1) > 1 and (new or changed or gone):
        return f"{new:,} new, {changed:,} changed, {gone:,} gone images. In all, "
    return ""


def _trust(tables: RunTables, rule: JudgingRule) -> str:
    sentences = []
    if tables.calibrated and (noise := noise_of(tables.verdicts, calibrated=True, bounds=tables.noise_bounds)):
        low, high = noise.interval
        sentences.append(
            f"about {noise.share:.1%} of the labels are wrong (95% interval {low:.1%} to {high:.1%}); rule "
            f"{rule.rule} judged, fitted to these images."
        )
        sentences += _extractor(tables.info)
        if rule.series is not None:
            sentences.append(
                f"The images come in {rule.series:,} series (frames, bursts or copies), each judged as one picture."
            )
        if rule.neighbor_recall < 1:
            sentences.append(f"The search for neighbors found {rule.neighbor_recall:.1%} of the near ones (a sample).")
    elif rule.rule == UNJUDGED:
        sentences.append("no label was judged, so nothing is known of wrong ones.")
    else:
        sentences.append(
            f"rule {rule.rule} judged, by a fixed angle of {tables.threshold:g} degrees ({rule.why}); it estimates "
            "no share of wrong labels."
        )
    return " ".join([*sentences, *_against_truth(tables.info.get("truth") or {})])


def _extractor(info: Mapping[str, Any]) -> list[str]:
    """What made the embeddings, and why, where it was chosen by ``auto``."""
    chosen = info.get("extractor") or {}
    if chosen.get("asked") != "auto" or not chosen.get("name"):
        return []
    return [f"Extractor {chosen['name']}: {chosen['why']}."]


def _against_truth(truth: Mapping[str, float | None]) -> list[str]:
    """Figures against the true labels, if known; some are undefined without a wrong label."""
    names = {"f1": "F1", "precision": "precision", "recall": "recall", "clean_kept": "right labels kept"}
    figures = [f"{name} {value:.3f}" for key, name in names.items() if (value := truth.get(key)) is not None]
    return [f"Against the true labels: {', '.join(figures)}."] if figures else []


def _gain(tables: RunTables) -> str:
    if tables.evaluation is None:
        return f"not measured: {_why_not_measured(tables.info)}."
    models, difference = tables.evaluation["models"], tables.evaluation["differences"].get("purified-raw")
    used = f"{tables.evaluation['pairs']['used']:,} pairs of people outside the set"
    if difference is None and "purified" not in models:  # of `purify evaluate`, under names of the user's own
        figures = [f"{name} {model['auc']:.4f}" for name, model in models.items()]
        return f"AUC {', '.join(figures)} on {used}."
    if difference is None:
        return f"AUC {models['purified']['auc']:.4f} after cleaning, on {used}."
    low, high = difference["interval"]
    sentence = (
        f"AUC {models['raw']['auc']:.4f} before cleaning, {models['purified']['auc']:.4f} after "
        f"({difference['auc']:+.4f}, 95% interval {low:+.4f} to {high:+.4f}: {finding((low, high))}) on {used}."
    )
    if missed := left_out(tables.evaluation["pairs"]):
        sentence += f" {missed[0].upper()}{missed[1:]}."
    gap = tables.evaluation.get("gap_closed")
    closed = gap and gap.get("auc")
    return f"{sentence} Purification closed {gap_sentence(closed)}." if closed else sentence


def _why_not_measured(info: Mapping[str, Any]) -> str:
    config = info.get("config", {})
    if not config.get("retrain", {}).get("enabled", True):
        return "nothing was trained on the cleaned set (`purify run-flow SOURCE --images ... --pairs ...` does)"
    if not config.get("evaluate", {}).get("pairs"):
        return "no verification pairs of other people; give --pairs"
    return "there are no images to train on; give --images"


def _report(run: RunFolder) -> str:
    if run.report.exists():
        return run.shown(run.report)
    return f"not written yet; the verdicts are in {run.shown(run.verdicts)}"


def _next(run: RunFolder, tables: RunTables) -> list[str]:
    """Lines with suggested commands, the first after ``Next``."""
    place = shlex.quote(run.shown(run.root))
    images = "" if tables.manifest["uri"].null_count < len(tables.manifest) else " --images FOLDER"
    commands = [f"purify review {place}{images}", f"purify apply {place}"]
    if run.url is not None:
        del commands[0]  # the review page needs a local folder
    if not run.report.exists():
        commands.insert(0, f"purify report {place}{images}")
    remarks = {"report": "see what was found", "review": "decide the doubtful ones", "apply": "take the reviews over"}
    width = max(map(len, commands))
    lines = [f"{command:<{width}}   # {remarks[command.split()[1]]}" for command in commands]
    return [f"Next:   {lines[0]}", *(f"{_INDENT}{line}" for line in lines[1:])]


def _percent(part: int, whole: int) -> str:
    """A share in percent, with a second decimal close to 0% and 100%."""
    share = part / max(whole, 1)
    digits = 1 if part in (0, whole) or 0.001 <= share < 0.999 else 2
    return f"{share:.{digits}%}"
