"""docs/security.md: its permissions are those of definitions-restricted.json, and the tests that it names are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.docs.pages import DOCS, REPOSITORY, phrases

PAGE = (DOCS / "security.md").read_text()
SHIPPED = json.loads((REPOSITORY / "deploy" / "rabbitmq" / "definitions-restricted.json").read_text())
RIGHTS = ("configure", "write", "read")
ROW = re.compile(r"^\| `(hacron-\w+)`[^|]* \| `(.*?)` \| `(.*?)` \| `(.*?)` \|$", re.MULTILINE)


def in_page() -> dict[str, tuple[str, ...]]:
    """Return the permissions of each user as they stand there."""
    return {user: tuple(right.replace("\\|", "|") for right in rights) for user, *rights in ROW.findall(PAGE)}


def shipped() -> dict[str, tuple[str, ...]]:
    return {each["user"]: tuple(each[right] for right in RIGHTS) for each in SHIPPED["permissions"]}


def named(text: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the beginning of the name of each test; without a file it is the one that the page begins with."""
    for phrase in phrases(text):
        found = re.fullmatch(r"(?:(tests/[\w/]+[.]py)::)?(?:\w+::)?(test_\w+?)(_…)?", phrase)
        if found:
            yield found[1] or "tests/broker/test_permissions.py", found[2]


def test_its_permissions_are_those_that_are_shipped() -> None:
    assert set(in_page()) == {"hacron-west", "hacron-edge"}
    assert in_page().items() <= shipped().items()


def test_the_other_cluster_that_may_be_executor_has_the_same_for_itself() -> None:
    assert shipped()["hacron-east"] == tuple(right.replace("west", "east") for right in shipped()["hacron-west"])
    assert set(shipped()) == {"hacron-west", "hacron-east", "hacron-edge"}


def test_the_tests_that_it_names_are_there() -> None:
    missing = [(file, name) for file, name in named(PAGE) if f"def {name}" not in (REPOSITORY / file).read_text()]
    assert missing == []
    assert len(list(named(PAGE))) > 10


def test_a_name_without_a_test_would_be_found() -> None:
    assert list(named("`test_nothing_at_all`, `tests/e2e/test_x.py::TestY::test_z_…`")) == [
        ("tests/broker/test_permissions.py", "test_nothing_at_all"),
        ("tests/e2e/test_x.py", "test_z"),
    ]
