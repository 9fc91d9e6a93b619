"""The local stack: real Kafka, schema registry and Valkey on one machine, without Docker or an installed Java."""

from driftline.stack.errors import (
    ChecksumError,
    DownloadError,
    PortTakenError,
    ServerDiedError,
    StackError,
)
from driftline.stack.operations import Up, bring_down, bring_up
from driftline.stack.places import cache_folder, data_folder
from driftline.stack.stack import Stack
from driftline.stack.state import Endpoints
from driftline.stack.status import Condition, ServerStatus, running, server_statuses

__all__ = [
    "ChecksumError",
    "Condition",
    "DownloadError",
    "Endpoints",
    "PortTakenError",
    "ServerDiedError",
    "ServerStatus",
    "Stack",
    "StackError",
    "Up",
    "bring_down",
    "bring_up",
    "cache_folder",
    "data_folder",
    "running",
    "server_statuses",
]
