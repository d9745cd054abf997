"""Namespaces for tests that make things in a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.testbed.control_plane import ControlPlane


@pytest.fixture
def namespace(west: ControlPlane) -> Iterator[str]:
    """A namespace in west that is nobody else's, and goes with all that is in it."""
    name = f"test-{secrets.token_hex(4)}"
    west.kubectl("create", "namespace", name)
    yield name
    west.kubectl("delete", "namespace", name, "--wait=false")
