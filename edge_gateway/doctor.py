"""What is wrong with a gateway, and what to do about it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from edge_gateway.config import GatewayConfig
from edge_gateway.errors import GatewayError
from edge_gateway.installation import SLOTS
from edge_gateway.resources import disk_free_bytes
from edge_gateway.selftest import check_fits, probe
from edge_gateway.slots import Slots
from edge_gateway.trusted import Trusted
from edge_gateway.uplink_config import UplinkConfig
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.findings import Finding, look
from schemas.fleet import Heartbeat, SlotState
from schemas.registry import Registry
from trust import TrustError

__all__ = ["examine"]

_TIMEOUT_S = 5.0


def examine(config: GatewayConfig, cluster: Cluster, *, now_ms: int) -> Iterator[Finding]:
    """Look at one thing after another; each finding is told as soon as it is known."""
    yield look("keys", lambda: _keys(config))
    yield look("disk", lambda: _disk(config))
    yield look("spool", lambda: _spool(config.data / "spool.db", now_ms))
    slots = Slots(config.data) if config.data.exists() else None
    if slots is not None:
        yield from _slots(config, slots)
    match config.uplink.kind:
        case "https":
            yield look("bridge", lambda: _bridge(config.uplink))
        case "mqtt":
            yield look("mqtt", lambda: _mqtt(config.uplink))
        case _:
            yield look("broker", lambda: _broker(cluster))
            yield look("registry", lambda: _registry(cluster))


def _keys(config: GatewayConfig) -> str:
    keyring = Trusted.of(config).keyring
    return f"version {keyring.version}: " + (", ".join(pinned.name for pinned in keyring.keys) or "no keys")


def _disk(config: GatewayConfig) -> str:
    config.data.mkdir(parents=True, exist_ok=True)
    free = disk_free_bytes(config.data)
    wanted = config.spool.max_bytes + config.updates.reserve_bytes
    if free < wanted:
        raise GatewayError(
            f"{free} bytes are free below {config.data}; spool and updates may want {wanted}",
            hint="make room, or lower gateway.spool.max_bytes",
        )
    return f"{free // 1024**2} MiB free below {config.data}"


def _spool(path: Path, now_ms: int) -> str:
    if not path.exists():
        return "not there yet; it is made at the first start"
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            records, oldest = connection.execute("SELECT count(*), min(made_ms) FROM records").fetchone()
            dropped = connection.execute("SELECT value FROM counters WHERE name = 'dropped'").fetchone()
    except sqlite3.Error as error:
        raise GatewayError(
            f"{path}: {error}", hint="restart the gateway: it sets the file aside and begins a new one"
        ) from error
    if dropped and dropped[0]:
        raise GatewayError(
            f"{records} records wait; {dropped[0]} were given up since the device was enrolled",
            hint="the outage was longer than the spool is large: raise gateway.spool.max_bytes or max_age_s",
        )
    return f"{records} records wait" + (f", the oldest for {max(now_ms - oldest, 0) / 1000:.0f} s" if oldest else "")


def _slots(config: GatewayConfig, slots: Slots) -> Iterator[Finding]:
    try:
        trusted = Trusted.of(config)
    except TrustError:
        return
    for name in SLOTS:
        if slots.installation.slots[name].state not in (SlotState.EMPTY, SlotState.BAD):
            yield look(f"slot {name}", partial(_slot, config, slots, trusted, name))
    installation = slots.installation
    if installation.safe_mode:
        hint = "`driftline gateway safe-mode off`" if installation.safe_mode == "operator" else "roll a model out"
        yield Finding("serving", False, f"safe mode ({installation.safe_mode.value}): the rules decide", hint)
    elif not installation.active:
        yield Finding("serving", False, "no model was ever installed", "roll one out, or `driftline gateway apply`")
    else:
        yield Finding("serving", True, f"{installation.model_id} in slot {installation.active}")


def _slot(config: GatewayConfig, slots: Slots, trusted: Trusted, name: str) -> str:
    bundle = slots.bundle(name, trusted)
    check_fits(bundle, None)
    probed = probe(bundle, threads=config.inference.threads)
    return f"{bundle.manifest.model_id} passes its self-test, {probed.latency_p99_ms:.3f} ms an inference (p99)"


def _bridge(settings: UplinkConfig) -> str:
    from edge_gateway.https_bridge import ask_at_once

    answer = ask_at_once(settings, _TIMEOUT_S)
    return f"{settings.url} knows this device" + ("" if answer else ", and has no command for it")


def _mqtt(settings: UplinkConfig) -> str:
    from edge_gateway.mqtt_bridge import knock

    knock(settings, _TIMEOUT_S)
    return f"{settings.url} answers; whether a bridge listens there, the first receipt will tell"


def _broker(cluster: Cluster) -> str:
    try:
        found = AdminClient({**cluster.client_settings(), "log_level": 0}).list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise GatewayError(
            f"{cluster.bootstrap} does not answer: {error.args[0].str()}",
            hint="the gateway buffers meanwhile; is the network up, are address and credentials right?",
        ) from error
    missing = [name for name in ("rollouts.commands", "rollouts.acks") if cluster.named(name) not in found.topics]
    if missing:
        raise GatewayError(
            f"{cluster.bootstrap} has no topic {cluster.named(missing[0])}",
            hint="`driftline topics create`, or set the right prefix",
        )
    return f"{len(found.brokers)} brokers at {cluster.bootstrap}"


def _registry(cluster: Cluster) -> str:
    schema = codec_of(Heartbeat).schema
    Registry(cluster).register(f"{cluster.named('fleet.heartbeats')}-value", schema)
    return f"{cluster.registry_url} answers"
