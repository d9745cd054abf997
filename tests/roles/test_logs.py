"""Log lines: JSON for machines, columns for people; what libraries say is kept down."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hacron.telemetry.logs import setup_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("restored_logging")
class TestLogs:
    def json_line(self, *args: object, **kwargs: object) -> dict[str, object]:
        stream = io.StringIO()
        setup_logging("json", "INFO", stream)
        logging.getLogger("hacron.executor").info(*args, **kwargs)  # type: ignore[arg-type]
        (line,) = stream.getvalue().splitlines()
        read = json.loads(line)
        assert isinstance(read, dict)
        return read

    def text_line(self, *args: object, **kwargs: object) -> str:
        stream = io.StringIO()
        setup_logging("text", "INFO", stream)
        logging.getLogger("hacron.executor").info(*args, **kwargs)  # type: ignore[arg-type]
        return stream.getvalue()

    def test_a_json_line_has_time_level_logger_and_message_and_then_the_fields(self) -> None:
        line = self.json_line("run decided", extra={"cronjob": "shop/report", "attempt": 2})
        assert list(line) == ["ts", "level", "logger", "msg", "cronjob", "attempt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["ts"]))
        assert line | {"ts": ""} == {
            "ts": "",
            "level": "INFO",
            "logger": "hacron.executor",
            "msg": "run decided",
            "cronjob": "shop/report",
            "attempt": 2,
        }

    def test_instants_are_written_in_utc_with_milliseconds(self) -> None:
        tick = datetime(2026, 3, 1, 2, 0, tzinfo=timezone(timedelta(hours=1)))
        assert self.json_line("x", extra={"tick": tick})["tick"] == "2026-03-01T01:00:00.000Z"

    def test_a_field_does_not_hide_what_every_line_has(self) -> None:
        line = self.json_line("x", extra={"level": "full"})
        assert (line["level"], line["level_"]) == ("INFO", "full")

    def test_what_json_does_not_know_is_written_as_text(self) -> None:
        assert self.json_line("x", extra={"error": OSError("no route")})["error"] == "no route"

    def test_a_stray_surrogate_costs_no_line(self) -> None:
        assert self.json_line("x", extra={"name_given": "\udce4"})["name_given"] == "\udce4"

    def test_a_stack_trace_stays_in_its_line(self) -> None:
        try:
            raise OSError("no route")
        except OSError:
            line = self.json_line("broker unreachable", exc_info=True)
        assert line["msg"] == "broker unreachable"
        assert str(line["trace"]).endswith("OSError: no route")

    def test_a_text_line_has_columns_and_then_key_and_value(self) -> None:
        line = self.text_line("run decided", extra={"cronjob": "shop/report", "tick": datetime(2026, 3, 1, tzinfo=UTC)})
        assert re.fullmatch(r"\S+Z INFO    executor +run decided +cronjob=shop/report tick=2026-03-01T00:00:00\.000Z\n", line)

    def test_a_value_with_spaces_or_line_breaks_is_quoted(self) -> None:
        line = self.text_line("verdict", extra={"why": 'not "now"\nline 2', "reason": ""})
        assert line.endswith('why="not \\"now\\"\\nline 2" reason=""\n')

    @pytest.mark.parametrize(("stream", "starts"), [(Terminal(), "2"), (io.StringIO(), "{")], ids=["terminal", "elsewhere"])
    def test_auto_is_text_on_a_terminal_and_json_elsewhere(self, stream: io.StringIO, starts: str) -> None:
        setup_logging("auto", "INFO", stream)
        logging.getLogger("hacron").info("x")
        assert stream.getvalue().startswith(starts)

    def test_libraries_are_heard_from_warning_on(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "DEBUG", stream)
        for name in ("pika.adapters", "kopf.objects", "aiohttp.access"):
            logging.getLogger(name).info("chatter")
            logging.getLogger(name).warning("trouble")
        assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["trouble"] * 3

    def test_what_kopf_leaves_open_is_not_told_and_other_errors_of_its_loop_are(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "INFO", stream)
        for words in (
            "Unclosed client session\nclient_session: <aiohttp.client.ClientSession>",
            "Task exception was never retrieved",
        ):
            logging.getLogger("asyncio").error(words)
        assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["Task exception was never retrieved"]

    def test_libraries_are_not_louder_than_the_level(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "ERROR", stream)
        logging.getLogger("pika").warning("trouble")
        assert stream.getvalue() == ""

    def test_a_second_setup_replaces_the_first(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        setup_logging("json", "INFO", first)
        setup_logging("json", "INFO", second)
        logging.getLogger("hacron").info("x")
        assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)

    def test_warnings_are_log_lines(self) -> None:
        stream = io.StringIO()
        setup_logging("json", "INFO", stream)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("old", stacklevel=1)
        assert json.loads(stream.getvalue())["logger"] == "py.warnings"
