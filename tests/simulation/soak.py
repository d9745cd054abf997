"""Tells as many stories as wanted, over all cores, and stops at the first in which something is wrong: `make soak SEEDS=1000`."""

from __future__ import annotations

import argparse
import logging
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Collection, Iterator
from functools import partial

from tests.simulation.draw import draw
from tests.simulation.telling import Told, as_text, first_failure, of_seed, shrink

AT_ONCE = 20  # seeds
SAID_EVERY_S = 10.0
AT_LEAST = 300  # stories, however short the time
USUAL = 1000  # of one kind in a minute, on two cores


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--within", type=float, default=math.inf, help=f"seconds: no more after that, but for {AT_LEAST}")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--count", action="store_true", help="do not stop: list every seed that fails, and what is wrong")
    parser.add_argument("--only", default="", help="families of acts (tests/simulation/draw.py), divided by commas: no others")
    wanted = parser.parse_args()
    only = tuple(filter(None, wanted.only.split(",")))
    try:
        draw(wanted.first, only)
    except ValueError as unknown:
        parser.error(str(unknown))
    began = said_at = time.monotonic()
    failures = done = 0
    for done, found in soak(range(wanted.first, wanted.first + wanted.seeds), wanted.workers, wanted.count, only):
        for seed, wrong in found:
            failures += 1
            print(f"seed {seed}: {'; '.join(wrong)}", flush=True)
            if not wanted.count:
                print(as_text(shrink(of_seed(seed, only))))
                return 1
        if time.monotonic() >= said_at + SAID_EVERY_S:
            said_at = time.monotonic()
            print(f"{done} of {wanted.seeds} stories, {done / (said_at - began):.1f} a second", file=sys.stderr, flush=True)
        if done >= AT_LEAST and time.monotonic() >= began + wanted.within:
            break
    took_s = time.monotonic() - began
    if done < min(USUAL, wanted.seeds):
        print(f"fewer than {USUAL}: this machine is slow, or does something else", file=sys.stderr)
    print(f"{done} stories from seed {wanted.first}, {failures} of them went wrong; {took_s:.0f} s, {done / took_s:.1f} a second")
    return 1 if failures else 0


Failure = tuple[int, tuple[str, ...]]  # the seed, and what is wrong


def soak(seeds: range, workers: int, on: bool = False, only: Collection[str] = ()) -> Iterator[tuple[int, list[Failure]]]:
    """Tell all stories, and yield again and again how many have been told and which went wrong.

    `on`: also after such a one; `only`: with acts of these families.
    """
    spans = [seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)]
    done = 0
    with multiprocessing.get_context("spawn").Pool(workers, _quiet) as pool:
        for span, found in pool.imap_unordered(partial(_all_failures if on else _first_failure, only), spans):
            done += len(span)
            yield done, found  # whoever stops asking ends the processes
            if found and not on:
                return


def _first_failure(only: Collection[str], span: range) -> tuple[range, list[Failure]]:
    told = first_failure(span, only)
    return span, [_said(told)] if told is not None else []


def _all_failures(only: Collection[str], span: range) -> tuple[range, list[Failure]]:
    return span, list(_failures(only, span))


def _failures(only: Collection[str], span: range) -> Iterator[Failure]:
    left = span
    while (told := first_failure(left, only)) is not None:
        yield _said(told)
        left = range(told.story.seed + 1, span.stop)


def _said(told: Told) -> Failure:
    return told.story.seed, told.wrong


def _quiet() -> None:
    """Let no replica log: there are thousands."""
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
