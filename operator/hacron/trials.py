"""Templates tried by this cluster's API server, as a dry run, before a tick is due: its own words are what their authors need.

A new one is tried when its HACronJob is shown. One that was refused is tried again every few minutes, since a webhook that was
away may be back and no change would tell; and a Job that was made of it is a yes. The mirror shows what was found. Few are tried
at a time: one that hangs takes the place of a status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hacron.core import faults, manifests
from hacron.core.agenda import Agenda
from hacron.core.kinds import Known
from hacron.core.lanes import Lanes
from hacron.core.manifests import Identity
from hacron.core.messages import Definition
from hacron.core.model import CronJob, Key, Run, name_of, namespace_of
from hacron.core.state import LONG_AGO, State
from hacron.core.status import Trial
from hacron.ports import Answer, CreateJob, Request

log = logging.getLogger(__name__)

AT_ONCE = 2
ASK_AGAIN_S, RARELY_S = 3.0, 300.0  # after no answer, or for lack of a right: a pause that grows
TRY_AGAIN = timedelta(minutes=5)  # what was refused
TRY_ONE_IN = timedelta(seconds=1)  # however much was refused

Tell = Callable[[Key, str, int, str, datetime], None]
"""Takes a template that was refused: whose it is, uid, generation, what is said against it, when."""


class Trials:
    """What is known of the templates here. It outlives a broker connection; `attach` begins a new one."""

    def __init__(self, *, cluster: str, start_window: timedelta, tell: Tell | None) -> None:
        self._cluster = cluster
        self._start_window = start_window
        self._tell = tell
        self._state = State()
        self._found: dict[Key, tuple[str, str | None]] = {}  # version → the API server's words; None: accepted
        self._under_way: dict[Key, str] = {}  # version that is being tried, or waits for that
        self._lanes: Lanes[CreateJob] = Lanes(AT_ONCE)
        self._unheard: dict[Key, tuple[str, float]] = {}  # version of which the API server has said nothing → the last pause
        self._unheard_again: Agenda[Key] = Agenda()  # when to try again
        self._refused: Agenda[Key] = Agenda()  # when to try again
        self._next_again: datetime | None = None  # not before, whichever it is

    def attach(self, state: State) -> None:
        """Begin with a State that is folded afresh. When to try again is forgotten: by a clock that may have been wrong."""
        self._state = state
        self._unheard, self._unheard_again = {}, Agenda()
        self._refused, self._next_again = Agenda(), None
        for key, (_, words) in self._found.items():
            self._refused.put(key, LONG_AGO if words is not None else None)

    def of(self, key: Key, version: str) -> Trial:
        known, words = self._found.get(key, ("", None))
        return Trial(words) if known == version else Trial(over=False)

    def is_under_way(self, key: Key) -> bool:
        return key in self._under_way

    def forget(self, key: Key) -> None:
        """Note that the object is gone."""
        self._found.pop(key, None)
        self._under_way.pop(key, None)
        self._unheard.pop(key, None)
        self._refused.put(key, None)

    def read(self, key: Key, version: str, status: dict[str, Any], now: datetime, ours: bool) -> None:
        """Learn from a `.status` what a worker has found. Of our own we know better: what is seen of them may be old."""
        if ours and key in self._found:
            return
        generation = int(version.rpartition("/")[2])
        for condition in status.get("conditions") or []:
            said = (condition.get("type"), condition.get("observedGeneration"))
            if said == ("Ready", generation) and condition.get("reason") in ("Ready", "TemplateRefused"):
                refused = condition["reason"] == "TemplateRefused"
                self._found[key] = (version, condition.get("message") if refused else None)
                self._refused.put(key, now + TRY_AGAIN if refused else None)

    def try_new(self, key: Key, now: datetime) -> list[Request]:
        """Ask the API server what it thinks of a template that is new here."""
        definition = self._state.definitions[key][self._cluster]
        version = version_of(definition)
        waits = self._is_unheard(key, version) and key in self._unheard_again
        if not self._is_found(key, version) and not waits:
            self._want(key, definition, now)
        return self._begin()

    def try_again(self, now: datetime) -> list[Request]:
        """Ask what waits for its turn, what has got no answer, and one template that was refused, if it is time."""
        for key in self._unheard_again.due(now):
            definition = self._definition(key)
            if definition is not None and self._is_unheard(key, version_of(definition)):
                self._want(key, definition, now)
        if self._next_again is None or now >= self._next_again:
            self._want_one_refused(now)
        return self._begin()

    def next_look(self) -> datetime | None:
        """Return when `try_again` has something to ask."""
        unheard, refused = self._unheard_again.next(), self._refused.next()
        if refused is not None and self._next_again is not None:
            refused = max(refused, self._next_again)
        return min((look for look in (unheard, refused) if look is not None), default=None)

    def take(self, answer: Answer, now: datetime) -> datetime | None:
        """Take in what became of a Job; return when its HACronJob is to be looked at, if that tells of its template."""
        request = answer.request
        assert isinstance(request, CreateJob)
        if request.dry_run:
            self._lanes.end(request.namespace, answered=answer.answered)
            return self._tried(request.key, request.run_id, answer, now)
        return now if answer.ok and self._made(request.key, answer) else None

    # --- inside ---

    def _want_one_refused(self, now: datetime) -> None:
        for key in self._refused.due(now, 1):
            definition = self._definition(key)
            if definition is not None and self.of(key, version_of(definition)).refusal is not None:
                self._next_again = now + TRY_ONE_IN
                self._refused.put(key, now + TRY_AGAIN)
                self._want(key, definition, now)

    def _begin(self) -> list[Request]:
        """Return what is to be asked now."""
        requests: list[Request] = []
        while (request := self._lanes.take()) is not None:
            if self._under_way.get(request.key) == request.run_id:
                requests.append(request)
            else:  # it has changed meanwhile
                self._lanes.end(request.namespace, answered=None)
        return requests

    def _want(self, key: Key, definition: Definition, now: datetime) -> None:
        """Have a template tried when it is its turn."""
        with faults.confined(faults.MIRROR, key):
            self._put_in_line(key, definition, now)

    def _put_in_line(self, key: Key, definition: Definition, now: datetime) -> None:
        version = version_of(definition)
        cronjob = self._state.cronjob(key)
        if self._under_way.get(key) == version or not isinstance(cronjob, CronJob):
            return
        tick = definition.changed_at.replace(second=0, microsecond=0)
        name = manifests.job_name(name_of(key), tick, 1, indexes=cronjob.indexes)
        run = Run(id="dry-run", tick=tick, cluster=self._cluster, start_by=tick, fencing=0, job=name)
        try:
            body = manifests.job_body(run, key, definition.spec, owner_uid=None, epoch=0)
        except (TypeError, ValueError, AttributeError) as error:  # this home's own spec may be worse than the winner's
            self._refuse(key, version, f"the template cannot be read: {type(error).__name__}", now)
            return
        self._under_way[key] = version
        namespace = namespace_of(key)
        trial = CreateJob(key=key, run_id=version, namespace=namespace, body=manifests.as_json(body), dry_run=True)
        self._lanes.put(namespace, trial)

    def _tried(self, key: Key, version: str, answer: Answer, now: datetime) -> datetime | None:
        if self._under_way.get(key) != version:
            return None
        del self._under_way[key]
        if answer.unreachable or answer.lacks_right:  # it says nothing of the template
            if not self._is_found(key, version):
                self._wait(key, version, answer, now)
            return None
        self._unheard.pop(key, None)
        if answer.ok or answer.status == 409 or answer.over_quota:
            self._accept(key, version)
        else:
            self._refuse(key, version, str(answer.body.get("message") or f"the API server answered {answer.status}"), now)
        return now

    def _is_found(self, key: Key, version: str) -> bool:
        return self._found.get(key, ("",))[0] == version

    def _is_unheard(self, key: Key, version: str) -> bool:
        return not self._is_found(key, version) and self._unheard.get(key, ("",))[0] == version

    def _wait(self, key: Key, version: str, answer: Answer, now: datetime) -> None:
        known, pause_s = self._unheard.get(key, ("", 0.0))
        pause_s = min(RARELY_S, 2 * pause_s) if known == version else ASK_AGAIN_S
        self._unheard[key] = (version, pause_s)
        self._unheard_again.put(key, now + timedelta(seconds=max(pause_s, answer.retry_after_s)))

    def _made(self, key: Key, answer: Answer) -> bool:
        """Take a Job for a yes, if it is made of the template that was refused."""
        mine, winner, view = self._definition(key), self._state.winner(key), manifests.job_view(answer.body)
        if mine is None or winner is None or mine.spec != winner.spec or view is None or view.tombstone:
            return False
        # It may have waited for as long to be sent, and be of the spec before.
        is_of_it = answer.sent_at is not None and answer.sent_at > mine.changed_at + self._start_window
        if not is_of_it or self.of(key, version_of(mine)).refusal is None:
            return False
        self._accept(key, version_of(mine))
        return True

    def _definition(self, key: Key) -> Definition | None:
        return self._state.definitions.get(key, {}).get(self._cluster)

    def _accept(self, key: Key, version: str) -> None:
        if self.of(key, version).refusal is not None:
            log.info("template accepted after all", extra={"cronjob": key})
        self._found[key] = (version, None)
        self._refused.put(key, None)

    def _refuse(self, key: Key, version: str, words: str, now: datetime) -> None:
        self._refused.put(key, now + TRY_AGAIN)
        if self._found.get(key) == (version, words):
            return
        self._found[key] = (version, words)
        log.warning("template refused", extra={"cronjob": key, "why": words[:300]})
        uid, _, generation = version.rpartition("/")
        if self._tell is not None:
            self._tell(key, uid, int(generation), words, now)


def version_of(one: Known | Identity) -> str:
    return f"{one.uid}/{one.generation}"
