"""Which rules of the protocol are missed when left out, and by which story first: `python -m tests.simulation.noticed`.

Where two rules stand behind each other, either is enough: both are left out together, and each alone is not missed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from tests.simulation import mutations
from tests.simulation.draw import draw
from tests.simulation.mutations import Mutation
from tests.simulation.telling import Told, first_failure, tell

STUCK = "single stuck consumers"
CUTS = ("cuts", "cuts at effects", "deafness")


@dataclass(frozen=True, slots=True)
class Missed:
    """What is left out, the faults that bring it out, and the first seed whose story, of these faults only, goes wrong.

    `sees`: part of what is wrong in it; that it is just this says that what was left out is what was meant.
    """

    left_out: tuple[Mutation, ...]
    faults: tuple[str, ...]
    seed: int
    sees: str

    @property
    def name(self) -> str:
        return " and ".join(mutation.__name__ for mutation in self.left_out)


MISSED = (
    Missed(
        (mutations.acknowledges_before_it_has_read_back,),
        ("edits", "deletions", "deaths", "deaths at effects"),
        0,
        "e: CronJobDeclared of east was acknowledged and is not in the ledger",
    ),
    Missed(
        (mutations.tells_nothing_twice,),
        ("mail that is lost", "late messages", "edits"),
        11,
        "b 12:02:47 is still Pending in east",
    ),
    Missed((mutations.acts_before_it_has_written,), ("deaths as a Job begins", "deaths"), 91, "e 12:04:20 has 2 Jobs"),
    Missed((mutations.counts_records_of_an_old_epoch,), ("edits", *CUTS), 85, "c 12:02:25 began at 12:02:25 beside 12:02:15"),
    Missed((mutations.never_steps_down,), ("cuts", "tokens"), 91, "was late: the executor was lost"),
    Missed((mutations.never_doubts_its_inbox,), ("stuck inboxes",), 0, "e 12:06:36 did not run in time"),
    Missed((mutations.never_doubts_its_reading,), ("a late ledger",), 2, "west-2 has not read the ledger to its end"),
    Missed((mutations.goes_on_though_nobody_gets_the_workers_token,), (STUCK, "deaths"), 47, "west has no worker"),
    Missed((mutations.does_not_look_what_waits_for_it,), (STUCK, "edits"), 1, "c as west declares it is not known"),
    Missed((mutations.waits_for_what_it_reads_first,), (STUCK,), 0, "east has no worker"),
    Missed((mutations.keeps_the_oldest_token,), ("tokens",), 6, "nobody decides since the executor was lost"),
    Missed((mutations.puts_no_token_back,), ("tokens",), 1, "there is no executor"),
    Missed((mutations.puts_no_workers_token_back,), ("tokens",), 0, "has no worker"),
    Missed(
        (mutations.makes_jobs_however_late,),
        ("API servers away",),
        0,
        "e 12:02:20 was made at 12:03:48, and had been decided at 12:02:15",
    ),
    Missed(
        (mutations.does_not_look_at_the_clock_as_a_request_leaves,),
        ("requests that are ready",),
        0,
        "e 12:02:20 was made at 12:04:50.486",
    ),
    Missed(
        (mutations.says_never_without_a_tombstone,),
        ("sick API servers", "Jobs by hand"),
        16,
        "c 12:00:42 began at 12:01:05.987 beside 12:01:03",
    ),
    Missed(
        (mutations.places_elsewhere_what_may_run_once,),
        ("clusters cut off as a Job begins",),
        0,
        "e 12:00:20 has 2 Jobs: in west by west-1 at 12:00:20 and south by south-1",
    ),
    Missed(
        (mutations.gives_up_what_could_not_start_in_time,),
        ("API servers away",),
        18,
        "d 12:04:40 was admitted and has not run to its end",
    ),
    Missed(
        (mutations.goes_on_after_the_end,),
        ("clusters cut off as a Job begins", "sick API servers"),
        65,
        "d 12:03 has attempt 3, and had run to its end",
    ),
    Missed((mutations.tries_again_what_runs,), ("edits",), 18, "g 12:05:20 has run 2 times"),
    Missed((mutations.decides_nothing_ahead,), ("edits",), 53, "a 12:03:16 was late: the executor was lost at 12:03:14.333"),
    Missed((mutations.has_each_wait_for_all_others,), ("other rules", "API servers away"), 10, "b 12:00:56 is still Lost"),
    Missed((mutations.does_not_drop_the_connection,), ("cuts", "tokens"), 1, "nobody decides since the executor was lost"),
    Missed(
        (mutations.decides_before_its_checkpoint_is_read_back,),
        ("deaths at effects", "a late ledger"),
        18,
        "d 12:01:31 was admitted and has not run to its end",
    ),
    Missed(
        (mutations.goes_by_the_end_of_its_nodes_copy,),
        ("copies that lag",),
        6,
        "g 12:06:55 was admitted and has not run to its end",
    ),
    Missed((mutations.forgets_at_takeover_what_was_decided,), ("deaths",), 0, "e 12:00:40 has 2 Jobs"),
    Missed((mutations.takes_any_job_of_the_name_for_its_own,), ("names taken",), 0, "e 12:07:00 is still Running"),
    Missed(
        (mutations.brings_back_what_is_gone, mutations.never_doubts_the_ledger),
        ("deletions", "unseen deletions", "watches"),
        0,
        "e was brought back at 12:04:00.05",
    ),
    Missed((mutations.frees_names_at_once,), ("sick API servers", "Jobs by hand"), 3, "e 12:02 has 2 Jobs"),
    Missed((mutations.frees_the_name_of_what_it_stops,), ("sick API servers", "deaths"), 368, "c 12:01 has 2 Jobs"),
    Missed(
        (mutations.forgets_where_a_tick_was_taken_back,),
        ("runs taken back unheard",),
        1,
        "c 12:01 has 2 Jobs: in west by west-1 at 12:01:00 and east by east-1",
    ),
    Missed(
        (mutations.takes_in_what_was_compared_with_another_ledger, mutations.tells_nothing_more_to_a_young_ledger),
        ("commands that outlive the ledger",),
        0,
        "e 12:00:20 has 2 Jobs",
    ),
    Missed(
        (mutations.forgets_what_runs,), ("other Jobs", "wipes", "deaths"), 56, "d 12:03:27 began at 12:03:27.823 beside 12:03:07"
    ),
    Missed(
        (mutations.takes_what_was_to_be_forgotten_for_deleted, mutations.never_doubts_the_ledger),
        ("clusters forgotten",),
        15,
        "b as east declares it is not known",
    ),
    Missed(
        (mutations.goes_on_where_the_forgotten_were,), ("clusters forgotten for long", "demands"), 40, "b 12:00:58 has 2 Jobs"
    ),
    Missed((mutations.never_doubts_the_ledger,), ("edits", "clusters put back"), 0, "e as east declares it is not known"),
    Missed((mutations.lets_anything_begin_a_ledger,), ("records that outlive the ledger",), 3, "e 12:01 has 2 Jobs"),
    Missed(
        (mutations.looks_at_no_uid_before_it_shows, mutations.writes_into_whatever_has_the_name),
        ("demands", "outages"),
        91,
        "f-now-3 shows 12 successes in west and has 0",
    ),
    Missed(
        (mutations.goes_by_the_floor_of_the_last_message,),
        ("records that outlive the ledger",),
        72,
        "west-2 has other definitions of default/f than the ledger",
    ),
    Missed((mutations.jumps_to_the_floor_of_a_young_ledger,), ("records that outlive the ledger",), 17, "e 12:00:20 has 2 Jobs"),
    Missed((mutations.says_no_without_a_look,), ("Jobs made and then refused",), 0, "has 2 Jobs"),
    Missed((mutations.starts_however_late,), ("deadlines", "outages"), 24, "t 12:02 began at 12:03:44.654, after its deadline"),
    Missed((mutations.starts_beside_another_what_may_run_again,), ("deaths",), 12, "d 12:05 began at 12:05:22 beside 12:05:20"),
    Missed((mutations.begins_anew_with_each_edit,), ("edits",), 0, "has 2 Jobs"),
    Missed((mutations.names_an_owner_of_another_cluster,), ("deaths",), 0, "belongs to what has never been in west"),
    Missed((mutations.waits_until_it_is_gone,), ("slow deletions",), 11, "a is still known from south"),
    Missed((mutations.goes_on_beside_what_it_cannot_read,), ("the next message version", "deaths"), 0, "e 12:02:20 has 2 Jobs"),
    Missed(
        (mutations.leaves_out_the_fields_that_it_does_not_know,),
        ("versions", "deaths"),
        0,
        "what a newer version had noted of ClusterState south was left out",
    ),
    Missed(
        (mutations.leaves_out_the_kinds_that_it_does_not_know,),
        ("versions", "edits", "deaths"),
        4,
        "Forecast default/a east stands before the floor",
    ),
    Missed((mutations.leaves_missed_ticks_without_a_verdict,), ("outages", "deaths"), 2, "has no verdict"),
    Missed((mutations.gives_a_number_twice,), ("edits",), 0, "two runs have the same fencing number"),
    Missed((mutations.shows_no_past,), ("edits",), 2, "is not in the status that"),
    Missed((mutations.lets_one_more_run_at_a_time,), ("edits",), 1, "c 12:01 began at 12:01:00 beside 12:00:56"),
    Missed((mutations.takes_part_whatever_its_clock_shows,), ("clocks by hours",), 0, "was made before its time"),
)


def is_seen(told: Told, sees: str) -> bool:
    """Whether a story says so in the end. One that broke off does not count: a replacement may itself be broken."""
    return not told.raised and any(sees in sentence for sentence in told.wrong)


def told_without(left_out: Iterable[Mutation], seed: int, faults: Sequence[str]) -> Told:
    """Tell one story without these rules."""
    with pytest.MonkeyPatch.context() as patch:
        for mutation in left_out:
            mutation(patch)
        return tell(draw(seed, faults))


def first_without(left_out: Iterable[Mutation], seeds: range, faults: Sequence[str]) -> int | None:
    """Return the first of these seeds whose story ends, and goes wrong without these rules, and well with them."""
    with pytest.MonkeyPatch.context() as patch:
        for mutation in left_out:
            mutation(patch)
        told = first_failure(seeds, faults)
    if told is None or not (told.raised or tell(told.story).wrong):
        return told.story.seed if told is not None else None
    return first_without(left_out, range(told.story.seed + 1, seeds.stop), faults)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.noticed", description=__doc__)
    parser.add_argument("words", nargs="*", help="of the names of what is left out; none: all")
    parser.add_argument("--seeds", type=int, default=400, help="how many stories at most")
    wanted = parser.parse_args()
    wrong = 0
    for case in MISSED:
        if wanted.words and not any(word in case.name for word in wanted.words):
            continue
        found = first_without(case.left_out, range(wanted.seeds), case.faults)
        wrong += found != case.seed
        print(f"{case.name}: {found} (noted: {case.seed})", flush=True)
        for mutation in case.left_out if len(case.left_out) > 1 else ():
            alone = first_without([mutation], range(wanted.seeds), case.faults)
            wrong += alone is not None
            print(f"  {mutation.__name__} alone: {alone}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
