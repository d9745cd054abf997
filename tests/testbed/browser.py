"""Chromium without a screen, driven over two pipes by its DevTools protocol: no port, and no library.

with Browser(folder) as browser:
    browser.open("http://127.0.0.1:8080/page/")
    browser.until("document.title !== ''", 10, "a title")
    browser.screenshot(folder / "page.png")
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.testbed.process import inherited_environment
from tests.testbed.tools import chromium
from tests.testbed.wait import until

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # what it shows is ours, and root has no other way
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


class Browser:
    """One page in a Chromium of its own, its profile in `folder`. `said`: its complaints."""

    def __init__(self, folder: Path) -> None:
        self._asked: list[tuple[str, str]] = []  # which document, and for what
        self._document = ""
        self.said: list[str] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._ended = False
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        command = [str(chromium()), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        # It reads from 3 and writes to 4. The shell puts them there: what Python does between fork and exec must be little.
        plumbing = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", plumbing, "bash", *command],
                env=inherited_environment(),
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        os.close(self._to)  # it ends when nobody can tell it anything any more
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)

    def open(self, url: str) -> None:
        """Go to an address; see `until` for when it is there."""
        self._document = self._call("Page.navigate", url=url).get("loaderId", self._document)

    @property
    def requests(self) -> list[str]:
        """What the document that was opened last has asked for; one before it may still ask for its icon."""
        return [url for document, url in self._asked if document == self._document]

    def screen(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Be a screen of this size, in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script: str) -> Any:
        """Return what an expression comes to in the page. Raises RuntimeError with what the page threw."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, script: str, timeout: float, what: str) -> Any:
        """Wait until an expression is true in the page, and return it."""
        return until(lambda: self.evaluate(script), timeout, what)

    def press(self, key: str, code: str = "", text: str = "") -> None:
        """Press a key and let it go."""
        fields = {"key": key, "code": code or key, **({"text": text} if text else {})}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        if key in codes:
            fields["windowsVirtualKeyCode"] = str(codes[key])
        for kind in ("keyDown", "keyUp"):
            sent: dict[str, Any] = {**fields, "type": kind}
            if "windowsVirtualKeyCode" in sent:
                sent["windowsVirtualKeyCode"] = int(sent["windowsVirtualKeyCode"])
            self._call("Input.dispatchKeyEvent", **sent)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Write what is on the screen as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    # --- the protocol: JSON, each message ended by a zero byte ---

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until(lambda: number in self._answers or self._ended, 60, f"Chromium's answer to {method}", every=0.005)
        answer = self._answers.pop(number, {"error": "Chromium has ended"})
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _read(self) -> None:
        for message in self._messages():
            if "id" in message:
                self._answers[message["id"]] = message
                continue
            params = message.get("params", {})
            match message.get("method"):
                case "Network.requestWillBeSent":
                    self._asked.append((params["loaderId"], params["request"]["url"]))
                case "Runtime.exceptionThrown":
                    self.said.append(str(params["exceptionDetails"]))
                case "Log.entryAdded":
                    self.said.append(str(params["entry"]["text"]))
        self._ended = True

    def _messages(self) -> Iterator[dict[str, Any]]:
        left = b""
        with os.fdopen(self._from, "rb", buffering=0) as pipe:
            while got := pipe.read(65536):
                *whole, left = (left + got).split(b"\0")
                for text in whole:
                    yield json.loads(text)
