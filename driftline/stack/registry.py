"""Apicurio Registry as it is run here: its data in our Kafka, its Confluent API for everyone."""

import http.client
import json
import os
import time
from pathlib import Path

from driftline.stack.errors import StackError
from driftline.stack.java import java
from driftline.stack.ports import LOOPBACK
from driftline.stack.server import Server, clean_environment

__all__ = ["COMPATIBILITY", "registry_server", "registry_url", "require_compatibility"]

# Old readers must read new records and new readers old ones, across all versions: topics are replayed.
COMPATIBILITY = "FULL_TRANSITIVE"
_API = "/apis/ccompat/v7"


def registry_url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}{_API}"


def registry_server(*, port: int, management_port: int, bootstrap: str, home: Path, folder: Path) -> Server:
    """The registry unpacked in `home`, working in `folder`, with its records in the Kafka at `bootstrap`."""
    settings = {
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(port),
        # Its default is port 9000 on all interfaces.
        "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
        "QUARKUS_MANAGEMENT_PORT": str(management_port),
        "APICURIO_STORAGE_KIND": "kafkasql",
        "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": bootstrap,
        # The default, 5 s, is waited out several times at each start.
        "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": "100",
        "APICURIO_IMPORT_WORK_DIR": str(folder / "tmp"),
        "QUARKUS_LOG_CONSOLE_FORMAT": "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p [%c] (%t) %s%e%n",
        "QUARKUS_LOG_CATEGORY__ORG_APACHE_KAFKA__LEVEL": "WARN",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        "QUARKUS_BANNER_ENABLED": "false",
    }
    return Server(
        name="registry",
        command=java(["-jar", str(home / "quarkus-run.jar")], heap_mb=384, scratch=folder / "tmp"),
        folder=folder,
        ports=(port, management_port),
        ready=lambda: _serves(port, management_port),
        complete=lambda: require_compatibility(port),
        environment={**clean_environment(os.environ), **settings},
    )


def require_compatibility(port: int, *, patience_s: float = 60) -> None:
    """Have the registry refuse schemas that break the contract; its own default lets anything pass."""
    deadline = time.monotonic() + patience_s
    while (found := _set_compatibility(port)) != COMPATIBILITY:
        # On a busy machine it may give up waiting for its own Kafka, and yet have done what was asked.
        if time.monotonic() > deadline:
            raise StackError(f"the registry's compatibility level should be {COMPATIBILITY}, is {found}")
        time.sleep(0.2)


def _set_compatibility(port: int) -> str:
    """Ask for our level, and return the one that holds after that."""
    try:
        _ask(port, "PUT", "/config", {"compatibility": COMPATIBILITY})
        _, answer = _ask(port, "GET", "/config")
        return str(json.loads(answer).get("compatibilityLevel"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"not known ({error})"


def _serves(port: int, management_port: int) -> bool:
    """Whether the registry has read all of its records, and answers."""
    try:
        return all(
            status == http.client.OK
            for status, _ in (_ask(management_port, "GET", "/health/ready", api=""), _ask(port, "GET", "/subjects"))
        )
    except (OSError, http.client.HTTPException):
        return False


def _ask(port: int, method: str, path: str, body: object = None, *, api: str = _API) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request(
            method,
            api + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()
