"""Where runs go: clusters by name, by label, by load; and who is passed over."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from hacron.core.firing import is_known
from hacron.core.messages import Progress
from hacron.core.model import Held, InvalidCronJob, Key
from hacron.core.placement_spec import read
from hacron.core.selector import Selector
from hacron.core.spec import parse
from tests.core.ledger_story import HELLO, NOON, Story, spec

PROD = {"matchLabels": {"tier": "prod"}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator} | ({"values": list(values)} if values else {})]}


def selector(given: dict[str, Any]) -> Selector:
    found = read({"placement": {"clusterSelector": given}}).selector
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "in_words", "matches"),
    [
        ({}, "any labels", [True, True, True]),
        (PROD, "tier=prod", [True, False, False]),
        (PROD | expression("zone", "Exists"), "tier=prod,zone", [True, False, False]),
        (expression("tier", "In", "prod", "test"), "tier in (prod, test)", [True, True, False]),
        (expression("tier", "NotIn", "prod"), "tier notin (prod)", [False, True, True]),
        (expression("tier", "Exists"), "tier", [True, True, False]),
        (expression("zone", "DoesNotExist"), "!zone", [False, True, True]),
    ],
)
def test_labels_are_chosen_as_kubernetes_chooses_them(given: dict[str, Any], in_words: str, matches: list[bool]) -> None:
    found = selector(given)
    assert str(found) == in_words
    assert [found.matches(labels) for labels in ({"tier": "prod", "zone": "a"}, {"tier": "test"}, {})] == matches


@pytest.mark.parametrize(
    ("placement", "says"),
    [
        ([], "placement must be an object with clusters, clusterSelector, strategy"),
        ({"strategy": "Random"}, "placement.strategy must be one of Preferred, Spread"),
        ({"clusterSelector": "prod"}, "placement.clusterSelector must be an object with matchLabels, matchExpressions"),
        (
            {"clusterSelector": {"matchLabels": {"tier": 1}}},
            "placement.clusterSelector.matchLabels must be an object of label: value",
        ),
        ({"clusterSelector": {"matchExpressions": ["tier"]}}, "must have a key, which is the name of a label"),
        (
            {"clusterSelector": {"matchExpressions": [{"key": "tier"}]}},
            "tier needs an operator: one of In, NotIn, Exists, DoesNotExist",
        ),
        ({"clusterSelector": expression("tier", "Is", "prod")}, "operator must be one of In, NotIn, Exists, DoesNotExist"),
        ({"clusterSelector": expression("tier", "In")}, "In of tier takes at least one value"),
        ({"clusterSelector": expression("tier", "Exists", "prod")}, "Exists of tier takes no values"),
        ({"clusterSelector": {"matchLabels": {str(n): "" for n in range(33)}}}, "has more than 32 labels and expressions"),
    ],
)
def test_what_is_wrong_with_a_placement_is_told(placement: object, says: str) -> None:
    with pytest.raises(InvalidCronJob, match=says.replace("(", r"\(")) as told:
        parse(HELLO, spec(placement=placement))
    assert told.value.field.startswith("placement")


def test_a_selector_alone_prefers_the_clusters_that_declare_it() -> None:
    story = Story(clusters=("east", "south", "west"))
    story.labels = {name: {"tier": "prod"} for name in ("east", "south", "west")}
    story.declare(spec(placement={"clusterSelector": PROD}))
    story.at(56)
    assert story.runs == ["60 Pending west #1"]
    story.refused(story.run)
    assert story.runs == ["60 Pending east #2"]
    story.refused(story.run)
    assert story.runs == ["60 Pending south #3"]


def test_of_the_clusters_that_are_named_only_those_with_the_labels() -> None:
    story = Story(clusters=("east", "south", "west"))
    story.labels = {"east": {"tier": "prod"}, "south": {"tier": "prod"}}
    story.declare(spec(placement={"clusters": ["west", "south", "east"], "clusterSelector": PROD}))
    story.at(56)
    assert story.runs == ["60 Pending south #1"]


def test_a_tick_waits_for_a_cluster_to_get_the_labels() -> None:
    story = Story()
    story.declare(spec(placement={"clusterSelector": PROD}))
    story.at(60)
    held = story.progress.held
    assert held is not None
    assert held.message == "no cluster has the labels of placement.clusterSelector (tier=prod); looked at west, east"
    story.labels = {"east": {"tier": "prod"}}
    story.at(65)
    assert story.runs == ["60 Pending east #1"]


def test_a_selector_may_be_longer_than_what_is_told_of_it() -> None:
    story, values = Story(), [f"{number:063}" for number in range(32)]
    long = {"matchExpressions": [{"key": f"k{number}", "operator": "In", "values": values} for number in range(32)]}
    story.declare(spec(placement={"clusterSelector": long}, startingDeadlineSeconds=30))
    story.at(200)
    assert story.progress.held is not None
    assert story.progress.held.message.startswith("no cluster has the labels of placement.clusterSelector (k0 in (")
    assert [f"{one.tick:%H:%M} {one.verdict} {one.reason}" for one in story.progress.recent] == [
        "12:01 Missed DeadlineExceeded",
        "12:02 Missed DeadlineExceeded",
    ]
    assert all(len(one.message) < 1200 for one in story.progress.recent)


def test_nothing_new_goes_to_a_cordoned_cluster_and_what_runs_there_goes_on() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["west", "east"]}))
    story.at(61)
    story.started(story.run)
    story.cordoned = {"west": "new switches until noon"}
    story.at(121)
    assert story.runs == ["60 Running west #1", "120 Pending east #1"]
    story.cordoned = {}
    story.at(176)
    assert story.runs[-1] == "180 Pending west #1"


def test_a_tick_waits_until_the_only_cluster_is_cordoned_no_more() -> None:
    story = Story(clusters=("west",))
    story.cordoned = {"west": "new switches"}
    story.declare(spec())
    story.at(70)
    held = story.progress.held
    assert held is not None
    assert (held.reason, held.message) == ("NoCluster", "west is cordoned (new switches)")
    story.cordoned = {}
    story.at(75)
    assert story.runs == ["60 Pending west #1"]


def test_what_a_tick_waits_for_is_told_as_it_is_now_and_written_once() -> None:
    story = Story()
    story.cordoned = {"west": "new switches"}
    story.declare(spec(placement={"clusters": ["west"]}))
    told = []
    for second, obstacle in ((70, "is cordoned (new switches)"), (80, "is cordoned (new racks)")):
        story.cordoned = {"west": obstacle[13:-1]}
        story.at(second)
        assert story.progress.held is not None
        told.append(story.progress.held.message)
    assert told == ["west is cordoned (new switches)", "west is cordoned (new racks)"]
    story.alive = {"east"}
    story.at(110)
    assert story.progress.held is not None
    assert story.progress.held.message == "west is silent since 12:01:20 UTC"
    held = [record.held for record in story.written if isinstance(record, Progress) and record.held is not None]
    assert len(held) == 3


def test_how_old_the_words_of_a_cluster_are_is_not_written_at_each_look() -> None:
    noted = Held(NOON, "NoCluster", "west is not heard: what it says is 40 s old on arrival")
    assert is_known(noted, Held(NOON, "NoCluster", "west is not heard: what it says is 41 s old on arrival"))
    assert not is_known(noted, Held(NOON, "NoCluster", "east is not heard: what it says is 40 s old on arrival"))


def test_spread_over_clusters_in_one_look_and_with_what_runs_already() -> None:
    story = Story()
    for number in range(40):
        story.declare(spec(placement={"clusters": ["west", "east"], "strategy": "Spread"}), key=Key(f"default/job-{number}"))
    story.at(56)
    assert placed(story) == {"west": 20, "east": 20}
    story.declare(spec(placement={"clusters": ["west"]}))
    story.at(70)
    story.at(116)
    assert placed(story) == {"west": 42, "east": 40}


def test_a_cronjob_that_spreads_its_runs_counts_its_own() -> None:
    story = Story()
    story.declare(spec("@every 1s", placement={"clusters": ["west", "east"], "strategy": "Spread"}))
    story.at(10)
    found = Counter(run.cluster for run in story.progress.open)
    assert found["west"] > 3
    assert abs(found["west"] - found["east"]) <= 1


def test_a_run_that_is_refused_goes_to_the_next_that_has_the_fewest() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["west", "east"], "strategy": "Spread"}))
    story.at(56)
    first = story.run.cluster
    story.refused(story.run)
    assert story.run.cluster != first


def test_a_run_in_a_cluster_that_is_declared_gone_holds_nothing_up() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid", placement={"clusters": ["west", "east"]}))
    story.at(60)
    story.started(story.run)
    story.alive = {"east"}
    story.at(450)
    assert story.runs == ["60 Lost west #1"]
    story.gone = ("west",)
    story.at(455)
    assert [run.split()[2] for run in story.runs] == ["east"]
    assert "60 Lost ClusterSilent" in story.verdicts


def test_a_cluster_that_speaks_is_not_gone_whatever_others_say() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid", placement={"clusters": ["west", "east"]}))
    story.gone = ("west",)
    story.at(60)
    story.started(story.run)
    story.at(200)
    assert story.runs == ["60 Running west #1"]


def placed(story: Story) -> dict[str, int]:
    return dict(Counter(run.cluster for progress in story.state.progress.values() for run in progress.open))


def test_a_cluster_that_is_named_twice_is_asked_once() -> None:
    assert parse(HELLO, msgspec.Raw(bytes(spec(placement={"clusters": ["west", "west"]})))).placement.clusters == ("west",)
