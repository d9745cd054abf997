"""`hacron convert`: CronJobs become HACronJobs, and what does not go over is told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hacron.__main__ import main
from hacron.commands.yamlout import dumped
from hacron.commands.yamltext import documents

Output = pytest.CaptureFixture[str]

PLAIN = """\
# The report of the shop.
apiVersion: batch/v1  # stable
kind: "CronJob"
metadata:
  name: report
spec:
  schedule: "0 2 * * *"   # at night
  timeZone: Europe/Prague
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: a, image: a, args: [22:30, 2026-01-01, !!timestamp x]}]
"""
OURS = PLAIN.replace("batch/v1", "hacron.io/v1").replace("CronJob", "HACronJob")
CLOSING = (
    "suspend or delete the CronJobs when you apply the HACronJobs: while there are both, both fire, and a CronJob that is "
    "resumed later starts its latest missed tick at once"
)


def body(**changes: Any) -> dict[str, Any]:
    """A CronJob; `metadata` and `spec` are added to."""
    found: dict[str, Any] = next(documents(PLAIN)).value
    for name, value in changes.items():
        found[name] = found[name] | value if isinstance(found.get(name), dict) and value else value
    return found


def pod(**changes: Any) -> dict[str, Any]:
    """A jobTemplate with another pod."""
    return {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a"}]} | changes}}}


class Told:
    """What one call said."""

    def __init__(self, code: int, capsys: Output) -> None:
        printed = capsys.readouterr()
        self.code, self.out = code, printed.out
        self.lines = [line.removeprefix("hacron: ") for line in printed.err.splitlines()]
        self.objects = [document.value for document in documents(printed.out) if document.value is not None]


@pytest.fixture
def convert(tmp_path: Path, capsys: Output) -> Any:
    """Convert one text, or an object as JSON; lines say `FILE` for its name."""

    def call(given: str | dict[str, Any]) -> Told:
        file = tmp_path / "in.yaml"
        file.write_text(given if isinstance(given, str) else json.dumps(given))
        told = Told(main(["convert", str(file)]), capsys)
        told.lines = [line.replace(str(file), "FILE") for line in told.lines]
        return told

    return call


def test_a_plain_cronjob_changes_by_two_lines_and_keeps_its_comments(convert: Any) -> None:
    told = convert(PLAIN)
    assert (told.code, told.out) == (0, OURS)
    assert told.lines == [f"1 of 1 CronJobs converted; {CLOSING}"]


def test_documents_stay_apart_and_json_stays_json(convert: Any) -> None:
    told = convert(f"# Licence\n---\n{PLAIN}---\n---\n{json.dumps(body(metadata={'name': 'other'}))}\n")
    assert told.code == 0
    assert told.out.startswith("# Licence\n\n# The report")
    assert [each["kind"] for each in told.objects] == ["HACronJob", "HACronJob"]
    assert [each["spec"] for each in told.objects] == [body()["spec"]] * 2
    assert '"kind": "HACronJob"' in told.out


def test_programs_get_one_list(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(f"{PLAIN}---\n{json.dumps(body(metadata={'name': 'other'}))}\n---\nkind: CronJob\n")
    assert main(["convert", "-o", "json", str(file)]) == 1
    printed = capsys.readouterr()
    listed = json.loads(printed.out)
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "List")
    assert listed["items"] == [
        {**body(metadata={"name": name}), "apiVersion": "hacron.io/v1", "kind": "HACronJob"} for name in ("report", "other")
    ]
    assert "2 of 3 CronJobs converted" in printed.err


def test_what_the_api_server_put_in_is_left_out_and_told(convert: Any) -> None:
    told = convert(
        body(
            apiVersion="batch/v1beta1",
            metadata={
                "namespace": "shop",
                "uid": "1",
                "resourceVersion": "2",
                "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [{}],
                "ownerReferences": [{"kind": "App"}],
                "labels": {"a": "b"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"},
            },
            status={"active": []},
        )
    )
    assert told.code == 0
    assert told.objects == [
        {
            "apiVersion": "hacron.io/v1",
            "kind": "HACronJob",
            "metadata": {"name": "report", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"mine": "1"}},
            "spec": body()["spec"],
        }
    ]
    assert told.lines[0] == (
        "FILE, line 1: CronJob shop/report: left out: status, metadata.uid, metadata.resourceVersion, metadata.generation,"
        " metadata.creationTimestamp, metadata.managedFields, metadata.ownerReferences, annotation"
        " kubectl.kubernetes.io/last-applied-configuration; it will not be deleted with its owner any more;"
        " batch/v1beta1 is read like batch/v1, which has the same fields"
    )


def test_it_is_not_taken_for_what_a_tool_has_made(convert: Any) -> None:
    """Such a tool would delete it, since it is not in its source."""
    annotations = {"meta.helm.sh/release-name": "shop", "argocd.argoproj.io/tracking-id": "shop:batch/CronJob:shop/report"}
    labels = {"app.kubernetes.io/instance": "shop", "kustomize.toolkit.fluxcd.io/name": "shop"}
    told = convert(body(metadata={"uid": "1", "annotations": annotations, "labels": labels}))
    assert told.objects[0]["metadata"] == {"name": "report", "labels": {"app.kubernetes.io/instance": "shop"}}
    assert told.lines[0].endswith(
        "left out: metadata.uid, label kustomize.toolkit.fluxcd.io/name, annotation meta.helm.sh/release-name, annotation"
        " argocd.argoproj.io/tracking-id; the label app.kubernetes.io/instance is kept: an Argo CD that tracks by it takes it for"
        " its own, and may prune it"
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("{0}\n{1}", ["a", "b"], id="one after the other"),
        pytest.param("{0}{1}  \n", ["a", "b"], id="at once"),
        pytest.param("\n{2}", ["a"], id="a character in two escapes"),
    ],
)
def test_json_is_read_that_is_no_yaml(text: str, names: list[str], convert: Any) -> None:
    one, other = (json.dumps(body(metadata={"name": name})) for name in ("a", "b"))
    odd = one.replace('"metadata": {', '"metadata": {"annotations": {"mine": "\\ud83d\\ude00"}, ')
    told = convert(text.replace("{0}", one).replace("{1}", other).replace("{2}", odd))
    assert (told.code, [each["metadata"]["name"] for each in told.objects]) == (0, names)


@pytest.mark.parametrize(
    "text", ['{"a": 1}\n{"b": ', '{"a": NaN}{}', '{"a": "\\ud83d"}{}', "{}" + "{" * 300 + "}" * 300, '{"a": 1} b']
)
def test_what_is_neither_is_told_so(text: str, convert: Any) -> None:
    told = convert(text)
    assert told.code != 0
    assert "is not YAML" in told.lines[-1] or "nested more than" in told.lines[-1]


@pytest.mark.parametrize(
    ("schedule", "zone", "says"),
    [
        ("TZ=Europe/Berlin 0 2 * * *", "Europe/Berlin", "the zone in its schedule is now timeZone: Europe/Berlin"),
        ("CRON_TZ=Asia/Tokyo  @daily", "Asia/Tokyo", "the zone in its schedule is now timeZone: Asia/Tokyo"),
    ],
)
def test_a_zone_in_the_schedule_is_moved(schedule: str, zone: str, says: str, convert: Any) -> None:
    told = convert(body(spec={"schedule": schedule, "timeZone": None}))
    assert told.code == 0
    assert told.objects[0]["spec"]["timeZone"] == zone
    assert told.objects[0]["spec"]["schedule"] == schedule.split(maxsplit=1)[1]
    assert told.lines[0].endswith(says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (body(metadata={"name": "x" * 53}), "metadata.name is 53 characters long; at most 52 are allowed"),
        (body(metadata={"name": "Report"}), "metadata.name must be of a-z, 0-9, - and ."),
        (body(metadata={"name": None, "generateName": "x-"}), "metadata.name is missing"),
        (body(metadata={"name": 5}), "metadata.name is missing"),
        (body(spec=None), "spec is missing or is not an object"),
        (body(spec={"schedule": "61 * * * *"}), "schedule: minute '61' is out of range"),
        (body(spec={"schedule": "TZ=Europe/Prague 0 2 * * *"}), "schedule: must not contain TZ"),
        (body(spec={"schedule": "TZ=Nowhere 0 2 * * *", "timeZone": None}), "timeZone: 'Nowhere' is not in the time zone"),
        (body(spec={"startingDeadlineSeconds": -1}), "startingDeadlineSeconds must be a whole number"),
        (body(spec={"concurrencyPolicy": "Never"}), "concurrencyPolicy must be one of"),
        (body(spec={"jobTemplate": {}}), "jobTemplate.spec is missing"),
        (body(spec={"jobTemplate": pod(restartPolicy="Always")}), "jobTemplate.spec.template.spec.restartPolicy must be set"),
        (body(spec={"jobTemplate": pod(containers=[])}), "jobTemplate.spec.template.spec.containers must have at least one"),
        (
            body(spec={"jobTemplate": {"spec": pod()["spec"] | {"selector": {"a": "b"}}}}),
            "jobTemplate.spec.selector must not be set",
        ),
        (body(apiVersion="batch/v2alpha1"), "apiVersion is 'batch/v2alpha1'; batch/v1 and batch/v1beta1 can be read"),
    ],
)
def test_what_cannot_go_over_is_told_with_exit_code_1(given: dict[str, Any], says: str, convert: Any) -> None:
    told = convert(given)
    assert (told.code, told.out) == (1, "")
    assert len(told.lines) == 2
    assert f": not converted: {says}" in told.lines[0]
    assert told.lines[1] == "0 of 1 CronJobs converted"


def test_lists_are_taken_apart_and_other_objects_passed_over(convert: Any) -> None:
    items = [body(metadata={"name": "a"}), {"kind": "Secret", "metadata": {"name": "s"}}]
    bare = [{name: value for name, value in body(metadata={"name": "b"}).items() if name in ("metadata", "spec")}]
    lists = [
        {"apiVersion": "v1", "kind": "List", "items": items},
        {"apiVersion": "batch/v1", "kind": "CronJobList", "items": bare},
    ]
    told = convert("---\n".join([*map(dumped, lists), OURS]))
    assert told.code == 0
    assert [each["metadata"]["name"] for each in told.objects] == ["a", "b"]
    assert told.lines[0] == "FILE, line 1, items[1]: Secret s: passed over, it is no CronJob"
    assert told.lines[1].endswith(": HACronJob report: passed over, it is one already")


def test_twice_the_same_name_no_zone_and_suspended_are_remarked_on(convert: Any) -> None:
    told = convert(PLAIN + "---\n" + dumped(body(spec={"timeZone": None, "suspend": True})))
    assert told.code == 0
    assert "is suspended: set going again it runs nothing of the past" in told.lines[0]
    assert "there is another of this name before" in told.lines[1]
    assert told.lines[2].startswith("1 without timeZone: that is UTC now")


def test_a_text_stays_the_text_that_it_was_for_every_reader(convert: Any) -> None:
    texts = [
        "y",
        "No",
        "on",
        "1e3",
        "0o17",
        "010",
        "1_000",
        "22:30",
        "2026-01-01",
        "~",
        "",
        " a",
        "a: b",
        "# a",
        "a\nb\n",
        "\u2028é",
        "-",
    ]
    told = convert(body(status={"active": []}, spec={"jobTemplate": pod(args=texts)}))
    assert told.objects[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["args"] == texts
    assert yaml.safe_load(told.out)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["args"] == texts


def test_folders_are_searched_for_manifests_and_nothing_else(tmp_path: Path, capsys: Output) -> None:
    for name in ("b.yaml", "a/deep/c.YML", "d.json", "README.md", ".git/e.yaml", "empty.yaml", "comments.yaml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PLAIN.replace("name: report", f"name: {file.stem}"))
    (tmp_path / "d.json").write_text(json.dumps(body(metadata={"name": "d"})))
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "comments.yaml").write_text("# nothing\n---\n")
    told = Told(main(["convert", str(tmp_path)]), capsys)
    assert told.code == 0
    assert [each["metadata"]["name"] for each in told.objects] == ["b", "d", "c"]


@pytest.mark.parametrize("call", [["convert"], ["convert", "-"], ["convert", "-f", "-"]], ids=" ".join)
def test_standard_input_is_read(call: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert Told(main(call), capsys).out == OURS


def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    assert Told(main(["convert"]), capsys).lines == ["name the files to convert, or - for standard input; --help has examples"]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
LONG_BOMB = b"a: &a " + b"x" * 1_000_000 + b"\nb: [" + b"*a," * 12 + b"]\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [", "line 2: is not YAML"),
        (b"kind: {{ .Values.kind }}\n", "line 1: is not YAML; is it a template of Helm? Then pipe `helm template` into this"),
        (b"\x00\x01\x02", "line 1 and after: is not YAML that Kubernetes would take"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"just words\n", "line 1: is not an object of Kubernetes, which begins with lines such as apiVersion and kind"),
        (b"- 1\n- 2\n", "line 1: is not an object of Kubernetes, which begins with lines such as apiVersion and kind"),
        (b"a: 1\n---\n? [x, y]\n: 1\n", "line 3: is not YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "line 1: is not YAML"),
        (b"a: !!int ''\n", "line 1 and after: is not YAML that Kubernetes would take"),
        (b"a: !!bool x\n", "line 1 and after: is not YAML that Kubernetes would take"),
        (b"a: !!binary aGk=\n", "line 1 and after: is not YAML that Kubernetes would take"),
        (b"a: " + b"9" * 5000, "line 1 and after: is not YAML that Kubernetes would take"),
        (b"[" * 100_000, "line 1: is nested more than 100 deep"),
        (b"a: &a [*a]\n", "line 1: *a stands for nothing that is complete before it"),
        (BOMB.encode(), "line 6: aliases stand for more than 10,000,000 characters"),
        (LONG_BOMB, "line 2: aliases stand for more than 10,000,000 characters"),
        (b"kind: A\nkind: B\n", "line 2: kind stands there a second time; is `---` missing before?"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_manifest_is_one_line(content: bytes, says: str, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "in.yaml"
    file.write_bytes(content)
    told = Told(main(["convert", str(file)]), capsys)
    assert (told.code, told.out) == (1, "")
    wrong = [line for line in told.lines if "passed over" not in line]
    assert [line.removeprefix(str(file)).lstrip(", ") for line in wrong] == [says]


def test_that_there_is_no_cronjob_is_told_with_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert Told(main(["convert"]), capsys).lines == ["no CronJob is in standard input"]
    (tmp_path / "a.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert Told(main(["convert", "a.yaml"]), capsys).lines == ["no CronJob is in 'a.yaml'"]


def test_what_cannot_be_read_is_told_and_the_rest_converted(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "huge.yaml").touch()
    with (tmp_path / "huge.yaml").open("ab") as huge:
        huge.truncate(64 * 2**20 + 1)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "ok.yaml").write_text(PLAIN)
    told = Told(main(["convert", str(tmp_path)]), capsys)
    assert (told.code, told.out) == (1, OURS)
    assert [line.replace(f"{tmp_path}/", "") for line in told.lines[:2]] == [
        "dangling.yaml cannot be read: No such file or directory",
        "huge.yaml is larger than 64 MiB: split it",
    ]


def test_too_many_values_are_told_before_they_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("hacron.commands.yamlbounds.MOST_VALUES", 50)
    (tmp_path / "in.yaml").write_text(f"a: [{'x,' * 200}]\n")
    told = Told(main(["convert", str(tmp_path)]), capsys)
    assert told.code == 1
    assert told.lines == [f"{tmp_path}/in.yaml, line 1: there are more than 50 values before it in one document: split it"]


def test_manifests_are_written_in_utf_8_whatever_the_terminal_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    (tmp_path / "in.yaml").write_text(PLAIN.replace("shop", "Café"))
    assert main(["convert", str(tmp_path)]) == 0
    assert written.getvalue().decode().startswith("# The report of the Café.\n")
