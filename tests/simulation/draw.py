"""One seed, one story: who there is, and what happens to them.

Each story takes only some of all faults, some often and some seldom, so that those that need each other are met undisturbed by
all others. Nothing but the seed is asked: it is the same story everywhere, for as long as this file stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.fakes.versions import NEWER, NEXT, OLDER
from tests.simulation import acts
from tests.simulation.acts import Act, befall, befall_at_effect, befall_broker, befall_cluster

MAPS = (  # replicas; those before the dash are their clusters
    ("west-1", "east-1", "west-2"),
    ("west-1", "east-1"),
    ("west-1", "west-2", "east-1", "east-2"),
    ("west-1", "east-1", "south-1"),
    ("west-1", "west-2"),
)
DEMANDED: tuple[dict[str, str], ...] = ({}, {"ignore-suspend": ""}, {"from": "11:50:00", "to": "11:51:30"}, {"at": "12:01:00"})
OFTEN, SELDOM = 4, 1
LENGTHS, OF_FEW = (8, 15, 20, 30), (10, 20, 30, 45)  # acts in a story; more where all are of the families that are asked for
MARGIN_S = 0.9  # of each clock; two may differ by twice as much
MIXED = "mixed"
LOST_AFTER_S = 25.0
TIMED = "t"  # a cronjob that always has a deadline
FOR_LONG = "clusters forgotten for long"  # what is late by half a minute comes too late then: not beside all others
FORGOTTEN = {  # family: settings with which it comes to that within a story
    "clusters forgotten": {"lost_after_s": LOST_AFTER_S},
    FOR_LONG: {"lost_after_s": LOST_AFTER_S, "forget_after_s": 30.0},
}
BEFORE, NEXT_MESSAGES = "versions before", "the next message version"
LOSSES = {"commands that outlive the ledger", "records that outlive the ledger"}  # beside wipes
MISSING = (20, 100, 400, 10**6)  # messages of the ledger: from half a minute to all
WEBHOOKS = ("has a webhook that hangs", "has a webhook that fails", *["has no webhook any more"] * 2)
HOURS_S = (7200.0, -7200.0, 90.0, -90.0)
WILD_S = (-40.0, -17.0, -6.0, -2.5, 3.0, 8.0, 25.0)


@dataclass(frozen=True, slots=True)
class Story:
    """What is told. `acts` may be any part of what was drawn."""

    seed: int
    replicas: tuple[str, ...]
    settings: dict[str, float]
    newer: tuple[str, ...]  # of the replicas, those of another version
    acts: tuple[Act, ...] = field(repr=False)

    @property
    def homes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.rsplit("-", 1)[0] for name in self.replicas))


def draw(seed: int, only: Collection[str] = ()) -> Story:
    """Draw a story. `only`: of these families, and often; MIXED: of a few, in each story others."""
    dice = random.Random(seed)
    replicas = dice.choice(MAPS)
    pace = dice.choice([1.0, 2.0, 2.0])  # every proof wakes everybody
    settings = {"proof_interval_s": pace, "proof_lease_s": 3 * pace, "inventory_interval_s": 20.0}
    newer = tuple(name for name in replicas if dice.random() < 0.5) if dice.random() < 0.3 else ()
    hand = Hand(dice, replicas)
    begin = [hand.apply(fires=True) for _ in range(dice.randint(1, 4))]
    families = hand.families()
    passes, lengths = (2 * OFTEN, OF_FEW) if only and MIXED not in only else (OFTEN, LENGTHS)  # passes: of time
    if MIXED in only:
        only, sooner = _mixture(seed, [family for family in (*families, *hand.aimed()) if family != FOR_LONG])
        settings |= sooner
    for family in FORGOTTEN.keys() & set(only):
        settings |= FORGOTTEN[family]
    unknown = set(only) - families.keys() - hand.aimed().keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no such family; there are {', '.join([*families, *hand.aimed()])}")
    chosen = {family: dice.choice([0, 0, SELDOM, OFTEN]) for family in families}
    if only:
        chosen = {family: OFTEN if family in only else 0 for family in families}
    if chosen["wipes"] or LOSSES & set(only):  # fencing numbers, and which ticks have come, go by the clock then
        chosen["wild clocks"] = 0
    aimed = {family: draws for family, draws in hand.aimed().items() if family in only}
    if LOSSES & set(only):
        # Proofs of versions before do not say when the ledger began: a record of a lost one looks as old as that.
        # And what replicas of the next message version tell a new ledger is not read by an executor of this one.
        for family in (BEFORE, NEXT_MESSAGES):
            aimed.pop(family, None)
    if NEXT_MESSAGES in aimed:  # for the same reason
        chosen["wipes"] = 0
    weights = [chosen[family] for family in families] + [OFTEN] * len(aimed) + [passes]
    acts_drawn = [
        dice.choices([*families.values(), *aimed.values(), hand.time], weights)[0]() for _ in range(dice.choice(lengths))
    ]
    return Story(seed, replicas, settings, newer, (*begin, acts.passes(dice.uniform(1, 30)), *acts_drawn))


def _mixture(seed: int, families: list[str]) -> tuple[list[str], dict[str, float]]:
    """Choose what befalls a story beside edits and deaths, which bring out most of what the others do, and settings for it."""
    dice = random.Random(f"mixture {seed}")
    chosen = [*dice.sample(families, dice.choice([2, 3, 4, 6])), *dice.sample(["edits", "deletions", "demands", "deaths"], 2)]
    return chosen, dice.choice([{}, {"lost_after_s": LOST_AFTER_S}])


class Hand:
    """Draws acts, each of one family."""

    def __init__(self, dice: random.Random, replicas: tuple[str, ...]) -> None:
        self._dice = dice
        self._replicas = replicas
        self._homes = tuple(dict.fromkeys(name.rsplit("-", 1)[0] for name in replicas))
        self._names = dice.sample(sorted(acts.KINDS), dice.choice([1, 2, 3, 7]))

    def families(self) -> dict[str, Callable[[], Act]]:
        """Return how to draw of each family that a story may have or not have."""
        one_of = self._one_of
        return {
            "edits": self.apply,
            "deletions": lambda: one_of(acts.delete, acts.recreate)(self._name(), self._home()),
            "unseen deletions": lambda: acts.delete(self._name(), self._home(), unseen=True),
            "pauses": lambda: acts.pause(self._name(), self._home(), one_of(None, self._dice.randint(-5, 60))),
            "demands": self._demand,
            "Jobs by hand": lambda: acts.delete_job(self._home(), self._dice.randint(0, 9)),
            "deaths": lambda: befall(one_of("dies", "dies", "stops"), self._replica()),
            "freezes": lambda: befall(one_of("freezes", "freezes", "thaws"), self._replica()),
            "cuts": self._cut,
            "deafness": lambda: befall("hears nothing any more", self._replica()),
            "deaths at effects": lambda: self._at_effect("dies"),
            "freezes at effects": lambda: one_of(self._at_effect("freezes"), befall("thaws", self._replica())),
            "cuts at effects": lambda: self._at_effect(one_of("loses its connection", "is on a node that is cut off")),
            "clocks": lambda: acts.goes_wrong(self._replica(), round(self._dice.uniform(-MARGIN_S, MARGIN_S), 1)),
            "wild clocks": lambda: acts.goes_wrong(self._replica(), one_of(*WILD_S, 0.0, 0.0)),
            "watches": lambda: acts.watch_lags(self._replica(), one_of(0.0, 0.3, 2.0, 20.0)),
            "versions": lambda: acts.changes_version(self._replica(), NEWER),
            "outages": lambda: befall_broker(one_of("stops", "starts", "starts")),
            "wipes": lambda: befall_broker(one_of("is wiped", "loses the ledger")),
            "tokens": self._tokens,
            "old messages": lambda: befall_broker("delivers something a second time", self._dice.randint(0, 40)),
            "late messages": lambda: befall_broker(one_of("delivers no commands", "delivers no reports", "delivers again")),
            "order": lambda: acts.shuffles(self._dice.randint(0, 999)),
            "sick API servers": self._illness,
            "API servers away": lambda: self._of_cluster("comes up", "goes down", "is mute", "speaks", "is busy", "is idle"),
            "refusals": lambda: self._of_cluster("denies", "allows", "takes everybody's rights", "gives them back"),
            "clusters away": lambda: self._of_cluster("is silent", "is heard"),
        }

    def aimed(self) -> dict[str, Callable[[], Act]]:
        """Return how to draw what is too seldom to be met by chance; only where somebody asks for it."""
        whats = ("reads nothing of the ledger", "reads the ledger again")
        return {
            "clusters cut off as a Job begins": self._silent_as_it_makes,
            "deaths as a Job begins": lambda: acts.dies_as_it_makes(self._neighbours(self._home())),
            "people at effects": self._people_at_effect,
            "a late ledger": lambda: befall(self._one_of(*whats), self._replica()),
            "copies that lag": self._lags,
            "stuck inboxes": lambda: befall("is told nothing any more, if it is the executor", self._replica()),
            "single stuck consumers": lambda: befall(
                self._one_of(*acts.STUCK, "connects anew, and reads nothing of the ledger"), self._replica()
            ),
            "requests that are ready": lambda: self._one_of(
                acts.freezes_with_a_request_ready(self._neighbours(self._home())), befall("thaws", self._replica())
            ),
            "Jobs made and then refused": self._makes_and_says_no,
            "runs taken back unheard": lambda: acts.is_taken_back_unheard(self._name(), self._home()),
            "commands that outlive the ledger": lambda: acts.command_outlives_the_ledger(self._name(), self._home()),
            "records that outlive the ledger": lambda: self._one_of(
                acts.command_outlives_the_ledger(self._name(), self._home(), so_do_records=True),
                acts.record_lands_as_it_begins(self._replica()),
            ),
            "slow deletions": lambda: acts.delete_slowly(
                self._name(), self._home(), self._dice.randint(1, 90), self._one_of(True, False)
            ),
            "names taken": lambda: acts.name_is_taken(self._name(), self._home()),
            **dict.fromkeys(FORGOTTEN, self._forget),
            "clocks by hours": lambda: acts.goes_wrong(self._replica(), self._one_of(*HOURS_S, 0.0)),
            "other rules": lambda: self.apply(like=self._one_of(*acts.KINDS)),
            "other Jobs": lambda: self._apply_with_other_jobs(),
            "deadlines": self._apply_with_a_deadline,
            "webhooks": lambda: self._of_cluster(*WEBHOOKS),
            "quotas": lambda: acts.has_room(self._home(), self._one_of(0, 1, 2, None, None)),
            "policies": lambda: self._of_cluster("lets nobody change a Job", "lets Jobs be changed"),
            "muteness": lambda: befall("can say nothing any more", self._replica()),
            "mail that is lost": lambda: befall_broker("loses its commands and reports"),
            BEFORE: lambda: acts.changes_version(self._replica(), OLDER, "the version before"),
            "clusters put back": lambda: self._one_of(acts.is_backed_up, acts.is_put_back)(self._home()),
            NEXT_MESSAGES: lambda: acts.changes_version(self._replica(), NEXT, "one of the next message version"),
        }

    def _apply_with_other_jobs(self) -> Act:
        return self.apply(
            runs=self._one_of("1", "4", "25"), fails=self._one_of("true", "false"), ttl=self._one_of("0", "5", "600")
        )

    def _forget(self) -> Act:
        home = self._home()
        others = tuple(name for name in self._replicas if name not in self._neighbours(home))
        if not others:
            return self.time()
        named = acts.forget(home, others)
        return self._one_of(
            acts.is_lost(home),
            named,
            named,
            acts.forget(None, self._replicas),
            acts.comes_back(home),
            acts.passes(LOST_AFTER_S + 20),
        )

    def _apply_with_a_deadline(self) -> Act:
        name, like = self._one_of(("", ""), (TIMED, self._one_of(*(kind for kind in acts.KINDS if kind != "c"))))
        return self.apply(like=like, name=name, deadline=self._one_of("1", "4", "15", "40"))

    def apply(self, fires: bool = False, like: str = "", name: str = "", **more: str) -> Act:
        one_of = self._one_of
        schedule = one_of("* * * * *", "@every 20s", "@every 7s", "@every 30s")
        fields = {
            "schedule": schedule if fires else one_of(schedule, schedule, schedule, "*/2 * * * *", "nonsense"),
            "suspend": "false" if fires else one_of("true", "false", "false"),
            "clusters": ",".join(self._dice.sample(self._homes, self._dice.randint(1, len(self._homes)))),
        }
        return acts.apply(name or self._name(), self._home(), fields | more, like)

    def time(self) -> Act:
        return acts.passes(self._one_of(self._dice.randint(1, 45), round(self._dice.uniform(0.05, 6.0), 2)))

    def _demand(self) -> Act:
        name, number, home = self._name(), self._dice.randint(1, len(DEMANDED)), self._home()
        if self._dice.random() < 0.25:
            return acts.undemand(name, number, home)
        words = DEMANDED[number - 1]  # the same in all clusters
        return acts.demand(name, number, home, words)

    def _silent_as_it_makes(self) -> Act:
        home = self._home()
        return acts.silent_as_it_makes(home, self._neighbours(home))

    def _makes_and_says_no(self) -> Act:
        home = self._home()
        return acts.makes_and_says_no(home, self._neighbours(home), self._one_of(5.0, 12.0, 25.0))

    def _lags(self) -> Act:
        home = self._home()
        return self._one_of(
            acts.lags(self._replica(), None),
            acts.lags(self._replica(), self._one_of(*MISSING)),
            acts.lags_to_a_deletion(self._name(), home, self._neighbours(home)),
        )

    def _cut(self) -> Act:
        return self._one_of(
            befall("is on a node that is cut off", self._replica()),
            befall("is on a node that is cut off", self._replica()),
            befall("loses its connection", self._replica()),
            acts.what_was_cut_off_lands,
            acts.what_was_cut_off_is_lost,
        )

    def _at_effect(self, what: str) -> Act:
        return befall_at_effect(what, self._replica(), self._dice.randint(0, 12), self._dice.random() < 0.5)

    def _people_at_effect(self) -> Act:
        name, home = self._name(), self._home()
        what = self._one_of(self.apply(), acts.delete(name, home), acts.recreate(name, home), acts.pause(name, home, 10))
        return acts.at_effect(what, self._replica(), self._dice.randint(0, 12), self._dice.random() < 0.5)

    def _tokens(self) -> Act:
        what = self._one_of("loses the token", "loses a worker's token", "loses the token's queue", "has another token")
        return befall_broker(what, self._dice.randint(0, 5))

    def _illness(self) -> Act:
        if self._dice.random() < 0.3:
            return acts.is_well(self._home())
        how = {word: self._one_of(0.0, 0.1, 0.5) for word in ("late", "refused", "acts all the same")}
        return acts.is_ill(self._home(), how, self._one_of(1.0, 12.0, 60.0), self._dice.randint(0, 9999))

    def _of_cluster(self, *whats: str) -> Act:
        return befall_cluster(self._one_of(*whats), self._home())

    def _one_of(self, *things):  # type: ignore[no-untyped-def]
        return self._dice.choice(things)

    def _name(self) -> str:
        return self._dice.choice(self._names)

    def _home(self) -> str:
        return self._dice.choice(self._homes)

    def _neighbours(self, home: str) -> tuple[str, ...]:
        return tuple(name for name in self._replicas if name.rsplit("-", 1)[0] == home)

    def _replica(self) -> str:
        return self._dice.choice(self._replicas)
