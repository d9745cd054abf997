"""What kubectl's completion asks for in bash, zsh and fish: the program `kubectl_complete-hacron` on PATH, with the words so far.

It answers as kubectl itself does: candidates, one a line, what they mean behind a tab, then what the shell is to make of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hacron.commands.calls import Misuse, Parser, printable
from hacron.plugin.__main__ import parser
from hacron.plugin.kubectl import PASSED_ON, Kubectl, Refused, as_field, cronjobs
from hacron.plugin.looks import looks

AS_WITH_FILES: Final = 0  # of kubectl's library: nothing special, names of files if there are no candidates
NO_FILES: Final = 4


def main() -> int:
    """Print the candidates for the last word. There are none when the API server cannot be asked."""
    words = sys.argv[1:]
    if words[:1] == ["--"]:
        words = words[1:]
    try:
        found, directive = complete(words)
    except (Refused, Misuse):
        found, directive = [], NO_FILES
    for candidate in found:
        print("\t".join(printable(part) for part in candidate.split("\t")))
    print(f":{directive}")
    return 0


def complete(words: Sequence[str]) -> tuple[list[str], int]:
    """Return the candidates for the last of these words, which may be empty, and what the shell is to do. Raises Refused."""
    *before, last = words or [""]
    top = parser()
    sofar = _read(top, before)
    here = sofar.here
    flag, is_whole, value = last.partition("=")
    if sofar.wanted is not None:
        return _valued(sofar.wanted, sofar.given, last)
    if is_whole and flag in _options(here):
        found, directive = _valued(_options(here)[flag], sofar.given, value)
        return [f"{flag}={one}" for one in found], directive
    if last.startswith("-"):
        shown = {name: action.help or "" for name, action in _options(here).items() if action.help is not argparse.SUPPRESS}
        return _matching([f"{name}\t{says}" for name, says in shown.items()], last), NO_FILES
    if here is top:
        return _matching([f"{name}\t{says}" for name, (_, says) in _commands(top).items()], last), NO_FILES
    wants = {action.dest for action in here._actions if not action.option_strings}
    if "name" in wants and sofar.names == 0:
        return _matching(list(_names(sofar.given)), last), NO_FILES
    return [], AS_WITH_FILES if "files" in wants else NO_FILES


@dataclass(slots=True)
class _Sofar:
    """What the words before the last one say."""

    here: Parser  # of the command, once it is named
    given: argparse.Namespace
    names: int = 0  # words that are no options
    wanted: argparse.Action | None = None  # whose value the last word is


def _read(top: Parser, before: Sequence[str]) -> _Sofar:
    sofar = _Sofar(top, argparse.Namespace(namespace=None))
    for word in before:
        if sofar.wanted is not None:
            setattr(sofar.given, sofar.wanted.dest, word)
            sofar.wanted = None
        elif word.startswith("-"):
            flag, is_whole, value = word.partition("=")
            action = _options(sofar.here).get(flag)
            if action is not None and is_whole:
                setattr(sofar.given, action.dest, value)
            elif action is not None and action.nargs is None:
                sofar.wanted = action
        elif sofar.here is top and word in _commands(top):
            sofar.here = _commands(top)[word][0]
        else:
            sofar.names += 1
    return sofar


def _valued(option: argparse.Action, given: argparse.Namespace, beginning: str) -> tuple[list[str], int]:
    values = _values(option, given)
    return ([], AS_WITH_FILES) if values is None else (_matching(values, beginning), NO_FILES)


def _commands(top: Parser) -> dict[str, tuple[Parser, str]]:
    action = next(one for one in top._actions if isinstance(one, argparse._SubParsersAction))
    return {one.dest: (action.choices[one.dest], one.help or "") for one in action._choices_actions}


def _options(here: Parser) -> dict[str, argparse.Action]:
    return {name: action for action in here._actions for name in action.option_strings}


def _values(option: argparse.Action, given: argparse.Namespace) -> list[str] | None:
    """Return what an option may be given; None when that is a file, or anything."""
    if option.choices is not None:
        return list(option.choices)
    ask: dict[str, Callable[[Kubectl], Iterator[str]]] = {"namespace": Kubectl.namespaces, "context": Kubectl.contexts}
    return list(ask[option.dest](_kubectl(given))) if option.dest in ask else None


def _names(given: argparse.Namespace) -> Iterator[str]:
    kubectl = _kubectl(given)
    for look in looks(kubectl.get(cronjobs(kubectl.namespace))):
        yield f"{look.name}\t{look.schedule}, {look.state[0]}"


def _kubectl(given: argparse.Namespace) -> Kubectl:
    passed = {as_field(name): getattr(given, as_field(name), None) for name in PASSED_ON}
    return Kubectl(argparse.Namespace(namespace=given.namespace, **passed))


def _matching(candidates: Sequence[str], beginning: str) -> list[str]:
    return [one.strip("\t") for one in candidates if one.startswith(beginning)]


if __name__ == "__main__":
    sys.exit(main())
