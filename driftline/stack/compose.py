"""The stack from official images, through Docker Compose."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from driftline.stack.errors import StackError

__all__ = ["IMAGES", "SERVICES", "Compose", "compose_file", "engine_problem", "missing_images", "pull_problem"]

SERVICES = ("kafka", "registry", "valkey")
IMAGES = ("apache/kafka:4.3.1", "quay.io/apicurio/apicurio-registry:3.3.3", "valkey/valkey:9.1.2")
_VARIABLES = {
    "broker-1": "DRIFTLINE_COMPOSE_KAFKA_PORT",
    "registry": "DRIFTLINE_COMPOSE_REGISTRY_PORT",
    "valkey": "DRIFTLINE_COMPOSE_VALKEY_PORT",
}


def compose_file() -> Path:
    """`docker/servers.yaml`: beside this package where it was installed, else in the checkout."""
    installed = Path(__file__).with_name("servers.yaml")
    return installed if installed.exists() else Path(__file__).parents[2] / "docker" / "servers.yaml"


def engine_problem() -> str:
    """Why no Docker engine can be used here, or nothing if one can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        answer = _docker("version", "--format", "{{.Server.Version}}", limit_s=10)
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer"
    if answer.returncode != 0:
        return _last_line(answer.stderr) or "no Docker engine is reachable"
    if _docker("compose", "version", limit_s=10).returncode != 0:
        return "docker has no compose plugin"
    return ""


def missing_images(images: Sequence[str] = IMAGES) -> list[str]:
    return [image for image in images if _docker("image", "inspect", image, limit_s=30).returncode != 0]


def pull_problem(images: Sequence[str], *, limit_s: float = 600) -> str:
    """Pull `images`; why one of them can't be had, or nothing if all were."""
    for image in images:
        try:
            answer = _docker("pull", "--quiet", image, limit_s=limit_s)
        except subprocess.TimeoutExpired:
            return f"{image} did not arrive in {limit_s:.0f} s"
        if answer.returncode != 0:
            return f"{image} can't be pulled: {_last_line(answer.stderr)}"
    return ""


@dataclass(frozen=True, slots=True)
class Compose:
    """The containers of the stack whose data folder is `data`; they, and their volumes, carry its name."""

    data: Path
    ports: Mapping[str, int]

    @property
    def project(self) -> str:
        return f"driftline-{hashlib.sha256(str(self.data).encode()).hexdigest()[:12]}"

    @property
    def environment(self) -> dict[str, str]:
        """What the compose file reads."""
        return {_VARIABLES[name]: str(port) for name, port in self.ports.items()}

    def up(self) -> None:
        self._run("up", "--detach", "--wait")

    def down(self, *, volumes: bool) -> None:
        self._run("down", *(["--volumes"] if volumes else []))

    def kill(self, service: str) -> None:
        self._run("kill", service)

    def restart(self, service: str) -> None:
        """Start `service`, anew if it runs, and return when it is healthy."""
        self._run("stop", service)
        self._run("up", "--detach", "--wait", service)

    def running(self) -> set[str]:
        """The services that run: none, where no engine is reachable."""
        if shutil.which("docker") is None:
            return set()
        answer = _docker(
            "ps",
            "--filter",
            f"label=com.docker.compose.project={self.project}",
            "--format",
            '{{.Label "com.docker.compose.service"}}',
            limit_s=30,
        )
        return set(answer.stdout.split()) if answer.returncode == 0 else set()

    def logs(self, service: str, *, lines: int) -> str:
        return self._run("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service)

    def _run(self, *arguments: str) -> str:
        command = ("compose", "--project-name", self.project, "--file", str(compose_file()), *arguments)
        answer = _docker(*command, limit_s=900, environment=self.environment)
        if answer.returncode != 0:
            raise StackError(f"docker compose {arguments[0]} failed:\n{answer.stderr.strip()}")
        return answer.stdout


def _docker(
    *arguments: str, limit_s: float, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - no shell, and the arguments are ours
        ["docker", *arguments],  # noqa: S607 - whichever docker the user has
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
