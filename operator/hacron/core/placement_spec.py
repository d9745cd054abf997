"""`placement` of a spec → Placement: names of clusters, a selector of their labels as Kubernetes writes them, a strategy."""

from __future__ import annotations

from typing import Any

from hacron.core.fields import choice
from hacron.core.model import InvalidCronJob, Placement, Strategy
from hacron.core.selector import Operator, Requirement, Selector

MOST_CLUSTERS = 32
MOST_REQUIREMENTS = 32
MOST_VALUES = 32
SELECTOR = "placement.clusterSelector"


def read(fields: dict[str, Any]) -> Placement:
    """Return where runs are to go. Raises InvalidCronJob."""
    given = fields.get("placement")
    if given is None:
        return Placement()
    if not isinstance(given, dict):
        raise InvalidCronJob("placement", "placement must be an object with clusters, clusterSelector, strategy")
    return Placement(
        clusters=_clusters(given.get("clusters")),
        selector=_selector(given.get("clusterSelector")),
        strategy=choice(given, "strategy", Strategy.PREFERRED, "placement.strategy"),
    )


def _clusters(names: object) -> tuple[str, ...]:
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names) or len(names) > MOST_CLUSTERS:
        raise InvalidCronJob(
            "placement.clusters", f"placement.clusters must be a list of at most {MOST_CLUSTERS} names of clusters"
        )
    return tuple(dict.fromkeys(names))


def _selector(given: object) -> Selector | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidCronJob(SELECTOR, f"{SELECTOR} must be an object with matchLabels, matchExpressions")
    found = (*_labels(given.get("matchLabels")), *_expressions(given.get("matchExpressions")))
    if len(found) > MOST_REQUIREMENTS:
        raise InvalidCronJob(SELECTOR, f"{SELECTOR} has more than {MOST_REQUIREMENTS} labels and expressions")
    return Selector(found)


def _labels(given: object) -> tuple[Requirement, ...]:
    if given is None:
        return ()
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise InvalidCronJob(f"{SELECTOR}.matchLabels", f"{SELECTOR}.matchLabels must be an object of label: value")
    return tuple(Requirement(key, Operator.IN, (value,)) for key, value in sorted(given.items()))


def _expressions(given: object) -> tuple[Requirement, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise InvalidCronJob(f"{SELECTOR}.matchExpressions", f"{SELECTOR}.matchExpressions must be a list")
    return tuple(_expression(one) for one in given)


def _expression(given: object) -> Requirement:
    field = f"{SELECTOR}.matchExpressions"
    if not isinstance(given, dict) or not isinstance(given.get("key"), str) or not given["key"]:
        raise InvalidCronJob(field, f"each of {field} must have a key, which is the name of a label")
    if given.get("operator") is None:
        raise InvalidCronJob(field, f"{field}: {given['key']} needs an operator: one of {', '.join(Operator)}")
    operator = choice(given, "operator", Operator.IN, f"{field}.operator")
    values = given.get("values") or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values) or len(values) > MOST_VALUES:
        raise InvalidCronJob(field, f"{field}: values of {given['key']} must be a list of at most {MOST_VALUES} texts")
    needs_values = operator in (Operator.IN, Operator.NOT_IN)
    if needs_values != bool(values):
        wants = "at least one value" if needs_values else "no values"
        raise InvalidCronJob(field, f"{field}: {operator} of {given['key']} takes {wants}")
    return Requirement(given["key"], operator, tuple(values))
