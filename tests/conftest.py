"""What tests of any room may ask for: real servers, and names of their own on them."""

import uuid
from collections.abc import Iterator

import pytest

from driftline.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Kafka, schema registry and Valkey, started when the first test asks and shared by all."""
    with Stack.start() as stack:
        yield stack


@pytest.fixture(scope="session")
def bootstrap(stack: Stack) -> str:
    return stack.endpoints.bootstrap


@pytest.fixture(scope="session")
def registry_url(stack: Stack) -> str:
    """The root of the registry's Confluent API."""
    return stack.endpoints.registry_url


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    return stack.endpoints.redis_url


@pytest.fixture
def prefix() -> str:
    """A beginning for topics, groups and keys that no other test has."""
    return f"t-{uuid.uuid4().hex[:8]}-"
