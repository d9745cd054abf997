"""What the custom resource refuses at the door never is a schedule that would run: its patterns beside the parser."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from hacron.core.ticks.cron import InvalidSchedule, parse

CRD = Path(__file__).parents[2] / "crds" / "hacronjob.yaml"
# Go's \p{Z} and hexadecimal escapes in the words of Python
GO = {r"\x{85}": r"\x85", r"\p{Z}": r"\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000", r"\s": r" \t\n\f\r"}


def patterns() -> list[re.Pattern[str]]:
    """The patterns that a schedule of five fields must match."""
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = schema["properties"]["spec"]["properties"]["schedule"]["x-kubernetes-validations"]
    texts = [
        rule["rule"].split("matches(r'")[1].removesuffix("')") for rule in rules if rule["rule"].startswith("self.startsWith")
    ]
    assert len(texts) == 6
    for go, python in GO.items():
        texts = [text.replace(go, python) for text in texts]
    return [re.compile(text) for text in texts]


PATTERNS = patterns()

numbers = st.one_of(st.integers(0, 70).map(str), st.sampled_from(["007", "+5", "0", "-1", "00", "60", "2/3"]))
words = st.sampled_from(
    ["mon", "SUN", "fri", "jan", "Dec", "february", "*", "?", "*-7", "?-x", "L", "H", "R", "", "5#2", "1-2-3", "*/1-2"]
)
values = st.one_of(numbers, words, st.builds("{}-{}".format, numbers, numbers), st.sampled_from(["mon-fri", "mon-5", "jan-3"]))
items = st.one_of(values, values, st.builds("{}/{}".format, values, numbers))
fields = st.one_of(st.sampled_from(["*", "*", "1", "1"]), st.lists(items, min_size=1, max_size=4).map(",".join))
blanks = st.sampled_from([" ", "  ", "\t", "\u00a0", "\u2003 ", "\v"])
edges = st.sampled_from(["", "", "", " ", "\u00a0"])
texts = st.builds(
    lambda begin, found, blank, end: begin + blank.join(found) + end,
    edges,
    st.lists(fields, min_size=5, max_size=5),
    blanks,
    edges,
)


def refusal(text: str) -> str:
    """What the parser says against it."""
    try:
        parse(text)
    except InvalidSchedule as invalid:
        return str(invalid)
    return ""


@given(texts)
def test_what_would_run_is_let_in_and_of_the_rest_only_what_a_pattern_cannot_tell(text: str) -> None:
    let_in, wrong = all(pattern.search(text) for pattern in PATTERNS), refusal(text)
    assert let_in or wrong
    assert not (let_in and wrong) or "runs backwards" in wrong, wrong
