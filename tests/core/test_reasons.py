"""Every reason that the program gives has a line in the table, and a sentence beside it where it is given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hacron
from hacron.core import reasons
from hacron.core.events import refused_template, tell
from hacron.core.messages import Progress
from hacron.core.model import Verdict, VerdictKind
from hacron.core.reasons import BY_KIND, BY_REASON, DEMANDS_WAIT, RUNS_WAIT, WAITING, label, labels, told
from hacron.core.state import Was
from tests.core.ledger_story import HELLO, NOON
from tests.core.test_events import TOLD

HOUSE = Path(hacron.__file__).parent
# What gives a reason: by keyword, or among its arguments.
GIVERS = {"Verdict", "Skip", "Hold", "Held", "RunRefused", "RunStopped", "replace", "refuse", "verdict_of"}
GIVERS |= {"never_begun", "_lost", "_pass_over_rest", "_pass_over"}

Names = dict[str, set[str]]  # name of a variable or a function → texts that it may be or return


@cache
def given() -> dict[str, str]:
    """Return each reason that stands in the code, and where."""
    return dict(_given(GIVERS))


def _given(givers: set[str]) -> Iterator[tuple[str, str]]:
    trees = _trees()
    named = {path: list(_named(tree)) for path, tree in trees.items()}
    constants = {name: texts for each in named.values() for name, texts in each if name.isupper()}
    for path, tree in trees.items():
        names = constants | dict(named[path])
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _name(call.func) in givers:
                values = [each.value for each in call.keywords if each.arg == "reason"] or call.args
                found = set().union(*(_texts(value, names) for value in values))
                yield from ((text, f"{path.name}:{call.lineno}") for text in found if text[:1].isupper() and text.isalpha())


def _named(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    returned: Names = {}
    for each in ast.walk(tree):
        if isinstance(each, ast.FunctionDef):
            values = [inner.value for inner in ast.walk(each) if isinstance(inner, ast.Return) and inner.value is not None]
            returned[each.name] = set().union(*(_texts(value, {}) for value in values))
    yield from returned.items()
    for each in ast.walk(tree):
        if isinstance(each, ast.Assign):
            targets = [name for target in each.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            yield from ((target.id, _texts(each.value, returned)) for target in targets)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr if function.attr not in GIVERS - {"refuse"} else ""
    return function.id if isinstance(function, ast.Name) else ""


def _texts(value: ast.expr, names: Names) -> set[str]:
    """Return the texts that an expression may be, or its parts: of a condition both."""
    match value:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name):
            return names.get(name, set())
        case ast.Call(func=function):
            return names.get(_name(function), set())
        case ast.IfExp(body=one, orelse=other):
            return _texts(one, names) | _texts(other, names)
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            return set().union(*(_texts(part, names) for part in parts))
        case _:
            return set()


@cache
def _trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in [*(HOUSE / "core").rglob("*.py"), *HOUSE.glob("*.py")]}


KNOWN = {reason for _, reason in BY_REASON} | set(WAITING) | set(DEMANDS_WAIT) | set(RUNS_WAIT)


def test_reasons_are_found_in_the_code() -> None:
    assert {"StartByPassed", "PlacedElsewhere", "JobAlreadyActive", "Suspended", "NotAccepted", "Replaced"} <= set(given())


def test_each_reason_that_the_code_gives_is_in_the_table() -> None:
    unknown = {reason: where for reason, where in given().items() if reason not in KNOWN}
    assert not unknown, "how are they told? See core/reasons.py"


def test_each_reason_in_the_table_is_given_somewhere() -> None:
    assert set(given()) >= KNOWN


def test_what_waits_is_held_for_that_reason() -> None:
    assert {reason for reason, _ in _given({"Hold", "Held"})} >= {*WAITING, *DEMANDS_WAIT}


@pytest.mark.parametrize(("kind", "reason"), [*BY_REASON, *((kind, "") for kind in VerdictKind)])
def test_each_verdict_becomes_one_event_with_its_reason_and_words(kind: VerdictKind, reason: str) -> None:
    verdict = Verdict(tick=NOON, verdict=kind, reason=reason, message="in these words", cluster="west", job="hello-1")
    before = Progress(key=HELLO, cronjob_id="x", last_tick=NOON)
    after = Progress(key=HELLO, cronjob_id="x", last_tick=NOON, recent=(verdict,))
    (event,) = tell(Was(before, None, {}), after, {}, None, None)
    assert (event.reason, event.problem) == told(verdict)
    assert "2026-11-24T12:00:00Z" in event.message
    assert "in these words" in event.message
    assert "west" in event.message


def test_what_others_call_a_reason_does_not_make_a_metric_longer() -> None:
    odd = [Verdict(tick=NOON, verdict=kind, reason=f"Odd{number}") for kind in VerdictKind for number in range(100)]
    usual = [Verdict(tick=NOON, verdict=kind, reason=reason) for kind, reason in BY_REASON]
    assert {label(verdict) for verdict in (*odd, *usual)} <= set(labels())
    assert len(labels()) == len(set(labels())) < 100
    assert set(BY_KIND) == set(VerdictKind)


def test_more_than_a_hundred_missed_ticks_are_warned_of_as_kubernetes_does() -> None:
    many = Verdict(tick=NOON, verdict=VerdictKind.MISSED, reason="Superseded", count=101)
    assert told(many) == reasons.TOO_MANY
    assert told(Verdict(tick=NOON, verdict=VerdictKind.MISSED, reason="Superseded", count=100)) != reasons.TOO_MANY


def test_the_documentation_has_every_reason() -> None:
    text = (HOUSE.parents[1] / "docs" / "cronjobs.md").read_text()
    section = text.partition("## Verdicts")[2].partition("\n## ")[0]
    words = set(re.findall(r"\w+", section))
    events = {about.reason for about in (*BY_REASON.values(), *WAITING.values(), reasons.TOO_MANY)}
    events |= set(re.findall(r"^    (?:Normal|Warning) (\w+):", TOLD.read_text(), re.MULTILINE)) | {
        refused_template(1, "").reason
    }
    assert {"PauseBegan", "PauseChanged", "PauseEnded", "TakenBack"} <= events
    assert ({reason for _, reason in BY_REASON} | set(WAITING) | set(RUNS_WAIT) | events) - words == set()
