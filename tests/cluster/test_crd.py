"""What an API server takes for a HACronJob, beside what it takes for a CronJob.

Every sample below is a CronJob's spec and is sent as both. It stands in one of four tables: both take it, both refuse it, only
the HACronJob is taken and becomes a condition, only the CronJob is taken; the last two say why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hacron.core import manifests
from hacron.core.model import InvalidCronJob, Run, key_of
from hacron.core.spec import parse
from tests.cluster.door import Door, job, pod, spec
from tests.core.ledger_story import NOON
from tests.testbed.control_plane import ControlPlane

CRD = Path(__file__).parents[2] / "crds" / "hacronjob.yaml"
KEY = key_of("default", "sample")

Fields = dict[str, Any]

OWN_FIELDS = {"guarantee", "placement", "catchUp", "maxActive"}
OWN_FIELDS |= {"schedules", "hashedSchedule", "startTime", "endTime", "daylightSaving"}


def schedules(*texts: str) -> list[Fields]:
    return [{"schedule": text} for text in texts]


def zones(*names: str) -> list[Fields]:
    return [{"timeZone": name} for name in names]


BOTH_TAKE: list[Fields] = [
    *schedules("* * * * *", "*/5 6-22 1,15 jan-MAR mon-5", "0 0 30 2 *", "005 +2 * * *", "*/1000000 * * * *", "?/5 ? ? ? ?"),
    *schedules(",5, * * * *", ", * * * *", "*-anything * * * *", "59/15 5-5 * DEC SAT"),
    *schedules("  0\t2\n* *  * ", "0\u00a02 * * *", "0\u20282\u3000* *\u1680*", "0\u00852\v*\f*\r*"),
    *schedules("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"),
    *schedules("@every 90s", "@every 1h30m", "@every 1.5h", "@every .5s", "@every 0", "@every -5m", "@every 1µs", "@every 1μs"),
    *zones(
        "US/Eastern",
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "America/Argentina/Buenos_Aires",
        "Etc/GMT+5",
        "Etc/GMT-14",
        "EST5EDT",
        "GMT-0",
    ),
    {"timeZone": None},
    {"startingDeadlineSeconds": 0},
    {"startingDeadlineSeconds": 2**31 - 1},
    {"startingDeadlineSeconds": None},
    {"concurrencyPolicy": "Allow"},
    {"concurrencyPolicy": "Forbid"},
    {"concurrencyPolicy": "Replace"},
    {"concurrencyPolicy": None},
    {"suspend": True},
    {"suspend": None},
    {"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 2**31 - 1},
    {"successfulJobsHistoryLimit": None, "failedJobsHistoryLimit": None},
    {"jobTemplate": job(pod(restartPolicy="OnFailure"))},
    {"jobTemplate": job(pod(initContainers=[{"name": "first", "image": "busybox"}], nodeSelector={"disk": "ssd"}))},
    {"jobTemplate": job(backoffLimit=2, parallelism=3, completions=6, ttlSecondsAfterFinished=600, suspend=True)},
    {"jobTemplate": job(activeDeadlineSeconds=600)},
    {"jobTemplate": job(activeDeadlineSeconds=None, backoffLimit=None, selector=None, manualSelector=None)},
    {"jobTemplate": job(manualSelector=False)},
    {"jobTemplate": {"metadata": {"labels": {"app": "report"}, "annotations": {"a": "b"}}, **job()}},
    # As `kubectl create cronjob --dry-run=client -o yaml` writes them.
    {"jobTemplate": {"metadata": {"creationTimestamp": None}, **job(template={"metadata": None, "spec": pod()})}},
]

BOTH_REFUSE: list[tuple[Fields, str]] = [
    ({"schedule": None}, "exactly one of schedule, schedules and hashedSchedule must be set"),
    ({"schedule": ""}, "must have five fields"),
    ({"schedule": "0 2 * *"}, "must have five fields"),
    ({"schedule": "30 0 2 * * *"}, "must have five fields: minute hour day month weekday"),
    ({"schedule": " @daily"}, "must have five fields"),
    ({"schedule": "@reboot"}, "known with an @ are"),
    ({"schedule": "@Daily"}, "in lower case"),
    ({"schedule": "@every"}, "known with an @ are"),
    ({"schedule": "@every 5"}, 'such as "@every 1h30m"'),
    ({"schedule": "@every 1d"}, "with the units h, m and s"),
    ({"schedule": "TZ=Europe/Berlin 0 2 * * *"}, "name the time zone in spec.timeZone"),
    ({"schedule": "CRON_TZ=UTC 0 2 * * *"}, "name the time zone in spec.timeZone"),
    *[
        (fields, "the minute must be of 0-59")
        for fields in schedules("60 * * * *", "*/0 * * * *", "*/-1 * * * *", "1/2/3 * * * *")
    ],
    *[
        (fields, "the minute must be of 0-59")
        for fields in schedules("1.5 * * * *", "R * * * *", "0~30 * * * *", "1-2-3 * * * *")
    ],
    *[(fields, "the minute must be of 0-59") for fields in schedules("0\x1c2 * * * *", "\u200b0 2 * * *", " 61 * * * *")],
    ({"schedule": "H * * * *"}, "H goes into hashedSchedule"),
    ({"schedule": "0 24 * * *"}, "the hour must be of 0-23"),
    *[
        (fields, "the day must be of 1-31")
        for fields in schedules("0 0 0 * *", "0 0 L * *", "0 0 15W * *", "0 0 C * *", "0 0 mon * *")
    ],
    *[(fields, "the month must be of 1-12 or jan-dec") for fields in schedules("0 0 * 13 *", "0 0 * january *")],
    *[(fields, "(Sunday is 0)") for fields in schedules("0 0 * * 7", "0 0 * * 5-7", "0 0 * * 5#2", "0 0 * * l5")],
    ({"schedule": 5}, "must be of type string"),
    ({"timeZone": ""}, "spec.timeZone"),
    ({"timeZone": "Local"}, "such as Europe/Berlin"),
    ({"timeZone": "/Europe/Berlin"}, "such as Europe/Berlin"),
    ({"timeZone": "Europe//Berlin"}, "such as Europe/Berlin"),
    ({"timeZone": "Europe/Berlin/"}, "such as Europe/Berlin"),
    ({"timeZone": "-Europe/Berlin"}, "such as Europe/Berlin"),
    ({"timeZone": "Fifteen_letters/Berlin"}, "such as Europe/Berlin"),
    ({"timeZone": "lOcAl"}, "such as Europe/Berlin"),
    ({"timeZone": "+01:00"}, "such as Europe/Berlin"),
    ({"timeZone": "Europe/Berlin "}, "such as Europe/Berlin"),
    ({"startingDeadlineSeconds": -1}, "greater than or equal to 0"),
    ({"startingDeadlineSeconds": "60"}, "must be of type integer"),
    ({"concurrencyPolicy": "forbid"}, 'supported values: "Allow", "Forbid", "Replace"'),
    ({"suspend": "true"}, "must be of type boolean"),
    ({"successfulJobsHistoryLimit": -1}, "greater than or equal to 0"),
    ({"failedJobsHistoryLimit": 2**31}, "int32 in spec.failedJobsHistoryLimit"),
    ({"jobTemplate": None}, "spec.jobTemplate: Required value"),
    ({"jobTemplate": {"spec": {}}}, "spec.jobTemplate.spec.template: Required value"),
    ({"jobTemplate": {"spec": {"template": {}}}}, "spec.jobTemplate.spec.template.spec: Required value"),
    ({"jobTemplate": job(pod(containers=None))}, "template.spec.containers: Required value"),
    ({"jobTemplate": job(pod(containers=[]))}, "containers in body should have at least 1 items"),
    ({"jobTemplate": job(pod(restartPolicy=None))}, "restartPolicy: Invalid value: must be set, to Never or to OnFailure"),
    ({"jobTemplate": job(pod(restartPolicy="Always"))}, "restartPolicy: Invalid value: must be set, to Never or to OnFailure"),
    ({"jobTemplate": job(selector={"matchLabels": {"a": "b"}})}, "spec.selector: Invalid value: must not be set"),
    ({"jobTemplate": job(manualSelector=True)}, "spec.manualSelector: Invalid value: must not be set"),
    ({"jobTemplate": job(activeDeadlineSeconds=-1)}, "greater than or equal to 0"),
    ({"schedul": "* * * * *"}, 'unknown field "spec.schedul"'),
    ({"jobTemplate": {"template": {}, **job()}}, 'unknown field "spec.jobTemplate.template"'),
]

BECOMES_A_CONDITION: list[tuple[Fields, str]] = [
    *[
        (fields, "which end of a range is the greater")
        for fields in schedules("0 22-3 * * *", "0 0 * * fri-mon", "0 0 * nov-feb *")
    ],
    *[(fields, "how large a number may be") for fields in schedules("*/9223372036854775808 * * * *")],
    *[(fields, "how long a duration may be") for fields in schedules("@every 9999999999h")],
    *[(fields, "which zones there are") for fields in zones("Mars/Olympus", "PST", "UTC+1", "europe/berlin", "../zoneinfo/UTC")],
    ({"jobTemplate": job(pod(containers=[{"name": "Main", "image": "busybox"}]))}, "what a container may be"),
    ({"jobTemplate": job(pod(containers=[{"name": "main"}]))}, "what a container may be"),
    ({"jobTemplate": job(pod(restartPolicy="never"))}, "which policies a newer Kubernetes has"),
    ({"jobTemplate": job(completions=-1)}, "what a Job may be"),
    ({"jobTemplate": {"metadata": {"labels": {"a": 5}}, **job()}}, "what metadata may be"),
]

ONLY_A_CRONJOB: list[tuple[Fields, str, str]] = [
    ({"schedule": "0" * 1000 + "5 * * * *"}, "Too long", "no rule is checked of a text without a limit"),
    ({"startingDeadlineSeconds": 2**31}, "less than or equal to 2147483647", "more than 68 years"),
    ({"jobTemplate": job(activeDeadlineSeconds=2**31)}, "less than or equal to 2147483647", "the same"),
    ({"concurrencyPolicy": ""}, 'supported values: "Allow", "Forbid", "Replace"', "leave it out for the default"),
]


@pytest.fixture(scope="module")
def door(west: ControlPlane) -> Door:
    return Door(west.admin_kubeconfig)


def shared(stored: Fields) -> Fields:
    """Return what both kinds say; of the templates only the CronJob's gets its defaults now, the HACronJob's as a Job."""
    return {name: value for name, value in stored.items() if value is not None and name not in ("guarantee", "jobTemplate")}


def shown(value: object) -> str:
    return json.dumps(value)[:60] if isinstance(value, dict) else ""


@pytest.mark.cluster
class TestBesideCronJob:
    @pytest.mark.parametrize("fields", BOTH_TAKE, ids=shown)
    def test_what_a_cronjob_may_be_a_hacronjob_may_be_and_means_the_same(self, door: Door, fields: Fields) -> None:
        cronjob, hacronjob = door.ask("CronJob", spec(**fields)), door.ask("HACronJob", spec(**fields))
        assert cronjob.refusal == ""
        assert hacronjob.refusal == ""
        parse(KEY, msgspec.json.encode(hacronjob.stored))
        assert shared(hacronjob.stored) == shared(cronjob.stored)

    @pytest.mark.parametrize(("fields", "says"), BOTH_REFUSE, ids=shown)
    def test_what_is_refused_of_a_cronjob_is_told_at_the_door_too(self, door: Door, fields: Fields, says: str) -> None:
        assert not door.ask("CronJob", spec(**fields)).taken
        assert says in door.ask("HACronJob", spec(**fields)).refusal

    @pytest.mark.parametrize(("fields", "cannot_know"), BECOMES_A_CONDITION, ids=shown)
    def test_what_the_door_cannot_know_becomes_a_condition(self, door: Door, fields: Fields, cannot_know: str) -> None:
        assert not door.ask("CronJob", spec(**fields)).taken, cannot_know
        answer = door.ask("HACronJob", spec(**fields))
        assert answer.refusal == ""
        stored = answer.stored
        try:
            parse(KEY, msgspec.json.encode(stored))
        except InvalidCronJob:
            return
        # The operator understands the rest of it, and has the API server try the Job.
        run = Run(id="dry-run", tick=NOON, cluster="west", start_by=NOON, fencing=0, job="sample-1")
        tried = manifests.job_body(run, KEY, msgspec.Raw(msgspec.json.encode(stored)), owner_uid=None, epoch=0)
        assert not door.ask("Job", tried["spec"], labels=tried["metadata"]["labels"]).taken

    @pytest.mark.parametrize(("fields", "says", "reason"), ONLY_A_CRONJOB, ids=shown)
    def test_these_are_the_only_cronjobs_that_do_not_convert(self, door: Door, fields: Fields, says: str, reason: str) -> None:
        assert door.ask("CronJob", spec(**fields)).taken
        assert says in door.ask("HACronJob", spec(**fields)).refusal, reason

    def test_it_has_every_field_of_a_cronjob_and_some_of_its_own(self, west: ControlPlane) -> None:
        served = json.loads(west.kubectl("get", "--raw", "/openapi/v3/apis/batch/v1"))
        cronjob = served["components"]["schemas"]["io.k8s.api.batch.v1.CronJobSpec"]
        ours = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert set(ours["properties"]) - set(cronjob["properties"]) == OWN_FIELDS
        assert set(cronjob["properties"]) <= set(ours["properties"])
        assert {*ours["required"], "schedule"} == set(cronjob["required"]), "schedule, or what may stand in its place"

    def test_names_may_be_as_long_as_those_of_cronjobs(self, door: Door) -> None:
        for kind in ("CronJob", "HACronJob"):
            assert door.ask(kind, spec(), name="a" * 52).taken
            assert "52 characters" in door.ask(kind, spec(), name="a" * 53).refusal


@pytest.mark.cluster
class TestOwnFields:
    TAKEN: tuple[Fields, ...] = (
        {"guarantee": "AtMostOnce"},
        {"guarantee": "AtLeastOnce"},
        {"placement": {"clusters": ["west", "east-2"]}},
        {"placement": {"clusters": [f"cluster-{n}" for n in range(32)]}},
        {"placement": {"clusters": []}},
        {"placement": {}},
        {"placement": {"clusters": None}},
        {"placement": {"clusterSelector": {}, "strategy": "Spread"}},
        {"placement": {"clusterSelector": {"matchLabels": {"example.com/tier": "prod"}}, "strategy": "Preferred"}},
        {"placement": {"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}}},
        {"placement": {"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}}},
        {"placement": None},
        {"guarantee": None},
        {"concurrencyPolicy": "Queue"},
        {"concurrencyPolicy": "Queue", "maxActive": 100, "catchUp": {"limit": 100}},
        {"concurrencyPolicy": "Queue", "maxActive": None, "catchUp": {"policy": "All"}},
        {"catchUp": None},
        {"catchUp": {}},
        {"catchUp": {"policy": "None"}},
        {"catchUp": {"policy": "All", "windowSeconds": 3600, "limit": 5, "spreadSeconds": 30, "afterEdits": True}},
        {"catchUp": {"windowSeconds": None, "limit": None, "spreadSeconds": None, "afterEdits": None}},
        {"catchUp": {"policy": "Last"}, "concurrencyPolicy": "Replace"},
    )
    REFUSED: tuple[tuple[Fields, str], ...] = (
        ({"guarantee": "ExactlyOnce"}, 'supported values: "AtMostOnce", "AtLeastOnce"'),
        ({"placement": ["west"]}, "must be of type object"),
        ({"placement": {"clusters": "west"}}, "must be of type array"),
        ({"placement": {"strategy": "Random"}}, 'supported values: "Preferred", "Spread"'),
        ({"placement": {"clusterSelector": {"matchLabels": {"tier": 1}}}}, "must be of type string"),
        ({"placement": {"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "Is"}]}}}, "supported values"),
        ({"placement": {"clusterSelector": {"matchExpressions": [{"key": "zone"}]}}}, "operator: Required value"),
        (
            {"placement": {"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "In"}]}}},
            "In and NotIn need values, Exists and DoesNotExist take none",
        ),
        ({"placement": {"clusters": ["west", "east", "west"]}}, "each cluster may be named once"),
        ({"placement": {"clusters": ["West"]}}, 'clusters[0]: Invalid value: "West": is no name of a cluster'),
        ({"placement": {"clusters": ["west", ""]}}, 'clusters[1]: Invalid value: "": is no name of a cluster'),
        ({"placement": {"clusters": ["w" * 64]}}, "Too long"),
        ({"placement": {"clusters": [f"cluster-{n}" for n in range(33)]}}, "must have at most 32 items"),
        ({"placement": {"cluster": "west"}}, 'unknown field "spec.placement.cluster"'),
        ({"maxActive": 2}, "spec.maxActive: Invalid value: goes with concurrencyPolicy Queue only"),
        ({"maxActive": 0, "concurrencyPolicy": "Queue"}, "greater than or equal to 1"),
        ({"maxActive": 101, "concurrencyPolicy": "Queue"}, "less than or equal to 100"),
        ({"catchUp": {"policy": "First"}}, 'supported values: "None", "Last", "All"'),
        ({"catchUp": {"policy": "Last"}, "concurrencyPolicy": "Queue"}, "must be All with concurrencyPolicy Queue"),
        ({"catchUp": {"policy": "All"}, "concurrencyPolicy": "Replace"}, "All goes not with concurrencyPolicy Replace"),
        ({"catchUp": {"limit": 101}}, "less than or equal to 100"),
        ({"catchUp": {"windowSeconds": 0}}, "greater than or equal to 1"),
        ({"catchUp": {"window": "1h"}}, 'unknown field "spec.catchUp.window"'),
    )

    @pytest.mark.parametrize("fields", TAKEN, ids=shown)
    def test_what_the_operator_understands_is_taken(self, door: Door, fields: Fields) -> None:
        answer = door.ask("HACronJob", spec(**fields))
        assert answer.refusal == ""
        parse(KEY, msgspec.json.encode(answer.stored))

    @pytest.mark.parametrize(("fields", "says"), REFUSED, ids=shown)
    def test_what_it_would_not_is_told_at_the_door(self, door: Door, fields: Fields, says: str) -> None:
        assert says in door.ask("HACronJob", spec(**fields)).refusal

    def test_a_guarantee_is_always_stored(self, door: Door) -> None:
        assert door.ask("HACronJob", spec()).stored["guarantee"] == "AtMostOnce"


FIVE = "must have five fields: minute hour day month weekday"
ONE_OF = "exactly one of schedule, schedules and hashedSchedule must be set"


@pytest.mark.cluster
class TestWhen:
    TAKEN: tuple[Fields, ...] = (
        {"schedules": ["0 9 * * mon-fri", "30 10 * * sat"], "timeZone": "Europe/Berlin"},
        {"schedules": [f"{n} * * * *" for n in range(20)]},
        {"schedules": ["@daily", "0\u00a02 * * *"]},
        {"schedules": ["@every 5m"]},
        {"hashedSchedule": "H 2 * * *"},
        {"hashedSchedule": " H/15,H(0-29)/10\tH(0-5) H H(jan-mar) H(mon-fri) "},
        {"hashedSchedule": "0 2 * * *"},
        {"schedule": "@daily", "startTime": "2027-01-01T00:00:00Z"},
        {"schedule": "@daily", "endTime": "2027-01-01T00:00:00.25+01:00"},
        {"schedule": "@daily", "startTime": "2027-01-01T00:00:00Z", "endTime": "2027-01-01T01:00:00+01:00"},
        {"schedule": "@daily", "startTime": None, "endTime": None, "daylightSaving": None},
        {"schedule": "@daily", "daylightSaving": {}},
        {"schedule": "@daily", "daylightSaving": {"gap": "ShiftForward"}},
        {"schedule": "@daily", "daylightSaving": {"gap": "Skip", "repeat": "Both"}},
        {"schedule": "@daily", "daylightSaving": {"gap": None, "repeat": "Last"}},
    )
    REFUSED: tuple[tuple[Fields, str], ...] = (
        ({}, ONE_OF),
        ({"schedule": "@daily", "schedules": ["@daily"]}, ONE_OF),
        ({"schedules": ["@daily"], "hashedSchedule": "H * * * *"}, ONE_OF),
        ({"schedules": "@daily"}, "spec.schedules in body must be of type array"),
        ({"schedules": []}, "should have at least 1 items"),
        ({"schedules": ["@daily"] * 21}, "must have at most 20 items"),
        ({"schedules": ["@daily", "30 0 2 * * *"]}, f'spec.schedules[1]: Invalid value: "30 0 2 * * *": {FIVE}'),
        ({"schedules": ["@daily", "@reboot"]}, "known with an @ are"),
        ({"schedules": ["@every 5"]}, 'such as "@every 1h30m"'),
        ({"schedules": ["@daily", "TZ=UTC 0 2 * * *"]}, "name the time zone in spec.timeZone"),
        ({"schedules": ["@daily", "@every 5m"]}, '"@every" counts from its own last tick, so it must stand alone'),
        ({"schedules": ["0" * 1001]}, "Too long"),
        ({"hashedSchedule": "H"}, FIVE),
        ({"hashedSchedule": "H H * * * *"}, FIVE),
        ({"hashedSchedule": "@daily"}, FIVE),
        ({"hashedSchedule": "TZ=UTC H * * *"}, "name the time zone in spec.timeZone"),
        ({"hashedSchedule": "H" * 1001}, "Too long"),
        ({"schedule": "@daily", "startTime": "2027-01-01"}, "must be of type date-time"),
        ({"schedule": "@daily", "startTime": "2027-01-01T00:00:00"}, "must be of type date-time"),
        ({"schedule": "@daily", "endTime": "tomorrow"}, "must be of type date-time"),
        (
            {"schedule": "@daily", "startTime": "2027-01-01T00:00:00Z", "endTime": "2026-12-31T23:59:59Z"},
            "spec.endTime: Invalid value: must not be before startTime",
        ),
        ({"schedule": "@daily", "daylightSaving": "Skip"}, "must be of type object"),
        ({"schedule": "@daily", "daylightSaving": {"gap": "Shift"}}, 'supported values: "Skip", "ShiftForward"'),
        ({"schedule": "@daily", "daylightSaving": {"repeat": "Twice"}}, 'supported values: "First", "Last", "Both"'),
    )

    @pytest.mark.parametrize("fields", TAKEN, ids=shown)
    def test_what_the_operator_understands_is_taken(self, door: Door, fields: Fields) -> None:
        answer = door.ask("HACronJob", {"jobTemplate": job(), **fields})
        assert answer.refusal == ""
        parse(KEY, msgspec.json.encode(answer.stored))

    @pytest.mark.parametrize(("fields", "says"), REFUSED, ids=shown)
    def test_what_it_would_not_is_told_at_the_door(self, door: Door, fields: Fields, says: str) -> None:
        assert says in door.ask("HACronJob", {"jobTemplate": job(), **fields}).refusal
        with pytest.raises(InvalidCronJob):
            parse(KEY, msgspec.json.encode({"jobTemplate": job(), **fields}))

    def test_what_is_not_chosen_stays_so(self, door: Door) -> None:
        """A default would hide it from the warning of changes of clocks."""
        assert "daylightSaving" not in door.ask("HACronJob", spec()).stored
        assert door.ask("HACronJob", spec(daylightSaving={"gap": "Skip"})).stored["daylightSaving"] == {"gap": "Skip"}
