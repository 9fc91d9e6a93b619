"""A Kafka of a test's own that lets nobody in without credentials, over TLS, and allows what it is told to allow."""

import logging
import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certificates import Authority
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from patience import PATIENCE_S, eventually

from driftline.stack import cache_folder
from driftline.stack.java import java
from driftline.stack.lock import read_lock
from driftline.stack.ports import pick, reserving
from driftline.stack.server import clean_environment
from driftline.stack.store import provide
from schemas.admin import Admin
from schemas.cluster import Cluster

__all__ = ["SecureKafka", "secure_kafka"]

_CLUSTER_ID = "c2VjdXJlLWthZmthLXRlc3Q"
PASSWORD = "correct-horse"  # noqa: S105
_ALL_RULES = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)


@dataclass(frozen=True)
class SecureKafka:
    """Its three doors: `sasl` (SCRAM over TLS), `mtls`, and `inside`, by which the test administers it."""

    sasl: str
    mtls: str
    inside: str
    authority: Authority
    admin: AdminClient = field(repr=False)

    def by_password(self, user: str, password: str = PASSWORD) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.authority.file),
        }

    def by_certificate(self, user: str) -> dict[str, str]:
        paper = self.authority.device(user)
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.file),
            "ssl.certificate.location": str(paper.certificate),
            "ssl.key.location": str(paper.key),
        }

    def topic(self, name: str, *, partitions: int = 2) -> str:
        Admin(Cluster(bootstrap=self.inside), timeout_s=PATIENCE_S).create([NewTopic(name, partitions, 1)])
        return name

    def allow(self, user: str, *, describe: str = "", read: str = "", group: str = "", write: str = "") -> None:
        """Let a user see or read a topic, as a member of a group, or write one."""
        wanted = (
            (ResourceType.TOPIC, describe, AclOperation.DESCRIBE),
            (ResourceType.TOPIC, read, AclOperation.READ),
            (ResourceType.GROUP, group, AclOperation.READ),
            (ResourceType.TOPIC, write, AclOperation.WRITE),
        )
        bindings = [
            AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, operation in wanted
            if name
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result()
        # The controller answers before the broker heeds them.
        eventually(lambda: {*bindings} <= {*self.admin.describe_acls(_ALL_RULES).result()})


@contextmanager
def secure_kafka(folder: Path, *, users: list[str]) -> Iterator[SecureKafka]:
    """Start it with these users, who all have the same password and may do nothing yet; but `admin` may do all."""
    cache = cache_folder(dict(os.environ))
    authority = Authority(folder / "papers", "authority")
    jars = ("-cp", os.pathsep.join(map(str, provide(read_lock(), cache).kafka)))
    scratch = folder / "tmp"
    scratch.mkdir()
    with reserving(cache / "ports") as reserve:
        ports = {
            name: pick(name, asked=None, preferred=(), reserve=reserve, rng=random.Random())
            for name in ("sasl", "mtls", "inside", "controller")
        }
        properties = folder / "server.properties"
        properties.write_text(_properties(folder, authority, ports))
        format_data = [*jars, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
        for user in users:
            format_data += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]"]
        environment = clean_environment(os.environ)
        with (folder / "kafka.log").open("wb") as log:
            said: dict[str, Any] = {"stdout": log, "stderr": log, "env": environment}
            subprocess.run(java(format_data, heap_mb=128, scratch=scratch), check=True, **said)
            serve = java([*jars, "kafka.Kafka", str(properties)], heap_mb=384, scratch=scratch)
            process = subprocess.Popen(serve, **said)
        try:
            inside = f"127.0.0.1:{ports['inside']}"
            admin = _when_up(inside, process, folder / "kafka.log")
            sasl, mtls = f"127.0.0.1:{ports['sasl']}", f"127.0.0.1:{ports['mtls']}"
            yield SecureKafka(sasl=sasl, mtls=mtls, inside=inside, authority=authority, admin=admin)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder / "data", ignore_errors=True)


def _properties(folder: Path, authority: Authority, ports: Mapping[str, int]) -> str:
    paper = authority.server("broker")
    keystore = folder / "broker.pem"
    keystore.write_bytes(paper.key.read_bytes() + paper.certificate.read_bytes())
    doors = ",".join(f"{name.upper()}://127.0.0.1:{ports[name]}" for name in ("sasl", "mtls", "inside"))
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{doors},CONTROLLER://127.0.0.1:{ports['controller']}",
        "advertised.listeners": doors,
        "listener.security.protocol.map": "SASL:SASL_SSL,MTLS:SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
        "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Who comes in by the inside door has no name.
        "super.users": "User:ANONYMOUS;User:admin",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keystore,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.file,
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.mtls.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _when_up(inside: str, process: subprocess.Popen[bytes], log: Path) -> AdminClient:
    quiet = logging.getLogger("secure_kafka")
    quiet.setLevel(logging.CRITICAL)
    admin = AdminClient({"bootstrap.servers": inside}, logger=quiet)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with suppress(KafkaException):
            return bool(admin.list_topics(timeout=5).brokers)
        return False

    eventually(is_up, or_say="the broker does not come up")
    return admin
