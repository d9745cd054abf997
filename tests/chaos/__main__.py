"""Faults on real brokers and real processes, and a report of what they did; about 40 minutes for all.

    python -m tests.chaos [--rabbitmq 4.3] [--nodes 3] [--faults NAME...] [--rounds N] [--each N] [--no-naive]
                          [--report FOLDER] [--more]

Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.chaos import report
from tests.chaos.faults import FAULTS
from tests.chaos.load import EVERY_S, GUARANTEES, POLICIES, RUNS_S, WHERE
from tests.chaos.naive_fleet import COUNT
from tests.chaos.naive_fleet import EVERY_S as NAIVE_EVERY_S
from tests.chaos.stage import Stage
from tests.chaos.trial import Result, do
from tests.testbed import tools
from tests.testbed.broker_cluster import SETUP_S, TICK_S
from tests.testbed.cluster import start_together
from tests.testbed.control_plane import ControlPlane
from tests.testbed.install import install

_STARTED = time.monotonic()


def say(words: str) -> None:
    print(f"{time.monotonic() - _STARTED:6.0f} s  {words}", flush=True)


def main() -> int:
    options = _options()
    chosen = [fault for fault in (FAULTS[name] for name in options.faults or FAULTS) if fault.nodes <= options.nodes]
    directory = Path(tempfile.mkdtemp(prefix="hacron-chaos-"))
    clusters = {name: ControlPlane(name, directory / name) for name in ("west", "east")}
    results: list[Result] = report.read(options.report) if options.more else []
    failed = []
    try:
        say(f"starts two control planes; logs are in {directory}")
        start_together(clusters.values())
        for cluster in clusters.values():
            install(cluster)
        trials = [fault for _ in range(options.rounds) for fault in chosen]
        stage = _stage(directory, clusters, options, 0)
        for number, fault in enumerate(trials, 1):
            say(f"[{number}/{len(trials)}] {fault.words}")
            try:
                results.append(do(stage, fault))
                _tell(results[-1])
            except Exception:  # noqa: BLE001  one fault that was not got over must not hide what the others do
                failed.append(fault.words)
                say(f"  NOT GOT OVER:\n{traceback.format_exc()}")
                stage.tear_down()
                stage = _stage(directory, clusters, options, number)
            options.report.mkdir(parents=True, exist_ok=True)
            report.write(results, _method(options), options.report)
        stage.tear_down()
    finally:
        for cluster in clusters.values():
            cluster.stop()
    broken = [sentence for result in results for sentence in result.unexcused]
    say(f"{len(results)} trials, {len(broken)} promises broken, {len(failed)} faults not got over; {options.report / 'chaos.md'}")
    if not broken and not failed:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if broken or failed else 0


def _stage(directory: Path, clusters: dict[str, ControlPlane], options: argparse.Namespace, number: int) -> Stage:
    say(f"starts RabbitMQ {options.rabbitmq or 'of this machine'} with {options.nodes} nodes, the replicas and the load")
    folder = directory / f"stage-{number}"
    folder.mkdir()
    stage = Stage(
        folder, clusters, nodes=options.nodes, version=options.rabbitmq, each=options.each, with_naive=not options.no_naive
    )
    stage.set_up()
    return stage


def _tell(result: Result) -> None:
    once, surely, naive = result.at_most_once, result.at_least_once, result.naive
    say(
        f"  AtMostOnce {once.due} due, {len(once.doubled)} twice, {once.not_started} not started;"
        f" AtLeastOnce {surely.due}, {len(surely.doubled)}, {surely.not_started};"
        f" late {max(once.late_max_s, surely.late_max_s):.0f} s at most, silence {result.silence_s:.0f} s,"
        f" takeover {result.takeover_s if result.takeover_s is not None else '-'};"
        f" naive {naive.due}, {len(naive.doubled)} twice, {naive.not_started} not started"
    )
    for sentence in result.broken:
        say(f"  BROKEN: {sentence}")


def _method(options: argparse.Namespace) -> str:
    many = options.each * len(GUARANTEES) * len(POLICIES) * len(WHERE)
    rabbitmq = options.rabbitmq or "of this machine"
    return (
        f"Two clusters with two replicas each, RabbitMQ {rabbitmq} with {options.nodes} nodes (pause_minority,"
        f" net_ticktime {TICK_S} s, net_setuptime {SETUP_S} s); every replica and every node in a network namespace of its own."
        f" {many} cronjobs of every {EVERY_S} s: both guarantees, Allow (Jobs of {RUNS_S['Allow']:g} s) and Forbid"
        f" (Jobs of {RUNS_S['Forbid']:g} s), declared in one cluster or in both. Beside them {COUNT} of every {NAIVE_EVERY_S} s"
        " that naive token holders fire, one beside each replica, with pika's defaults. All settings of the replicas are the"
        " defaults. Judged by watches on the API servers alone; their times are whole seconds."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults on real brokers, and a report.")
    parser.add_argument("--rabbitmq", choices=tools.RABBITMQ, help="a newer RabbitMQ than this machine's")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=3)
    parser.add_argument("--faults", nargs="*", choices=FAULTS, metavar="NAME", help=f"some of: {' '.join(FAULTS)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--each", type=int, default=2, help="cronjobs of each of the twelve sorts")
    parser.add_argument("--no-naive", action="store_true", help="without the naive holders")
    parser.add_argument("--more", action="store_true", help="add to the report that is there")
    parser.add_argument("--report", type=Path, default=Path("build/chaos"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
