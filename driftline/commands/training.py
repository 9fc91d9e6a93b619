"""`driftline training`: what is asked to be trained, and a person's word about it."""

import json
import os
import time
import uuid
from typing import Any

import click

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.pipeline_option import PIPELINE
from driftline.settings import Settings
from driftline.tables import plain_table
from driftline.tables import show as show_table
from driftline.why_option import WHY
from schemas import feeds
from schemas.cluster import Cluster
from schemas.operators import OperatorRequest
from schemas.record import as_plain
from schemas.training import TrainingCause, TrainingRequest
from schemas.wire import Contract
from trainer.errors import TrainerError
from trainer.publishing import Publisher

__all__ = ["training"]

_DAY_MS = 86_400_000
_WHO = click.option("--who", default=lambda: os.environ.get("USER", "somebody"), help="Who asks, for the audit log.")


@click.group(cls=Group, epilog="Example: driftline training request bearing --pipeline machine/1 --days 7")
def training() -> None:
    """Ask for a training, follow it, approve or cancel it."""


@training.command(epilog="Example: driftline training request bearing --pipeline machine/1 --days 7 --why 'new pumps'")
@click.argument("model")
@click.option("--pipeline", required=True, type=PIPELINE, help="What makes the vectors.")
@click.option("--days", type=float, default=7.0, show_default=True, help="Data of so many days until now.")
@click.option("--without", "excluded", multiple=True, metavar="DEVICE", help="A device not to learn from; repeatable.")
@click.option("--why", required=True, help="The reason, for the audit log.")
@_WHO
@on_a_cluster
def request(
    settings: Settings, model: str, pipeline: str, days: float, excluded: tuple[str, ...], why: str, who: str
) -> None:
    """Ask for a model to be trained on what the fleet has seen lately."""
    now_ms = time.time_ns() // 1_000_000
    asked = TrainingRequest(
        request_id=f"{model}-{uuid.uuid4().hex[:12]}",
        model=model,
        pipeline=pipeline,
        cause=TrainingCause.PERSON,
        reason=why,
        requested_ms=now_ms,
        requested_by=who,
        data_from_ms=now_ms - int(days * _DAY_MS),
        data_to_ms=now_ms,
        excluded_devices=excluded,
    )
    _publish(settings.cluster(), "training.requests", asked)
    click.echo(asked.request_id)


@training.command(name="list", epilog="Example: driftline training list --json")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def list_(settings: Settings, as_json: bool) -> None:
    """Show the requests and what became of them."""
    requests = {one.request_id: one for one in _all(settings.cluster(), "training.requests")}
    last = {note.subject: note for note in _all(settings.cluster(), "audit.log") if note.who == "trainer"}
    told = [(asked, last.get(f"training/{name}")) for name, asked in requests.items()]
    if as_json:
        states = [
            {"state": note.action, "why": note.why} if note else {"state": "waiting", "why": ""} for _, note in told
        ]
        plain = [{**as_plain(asked), **state} for (asked, _), state in zip(told, states, strict=True)]
        click.echo(json.dumps(plain, indent=2))
        return
    table = plain_table("REQUEST", "MODEL", "CAUSE", "STATE")
    for asked, note in told:
        state = f"{note.action}: {note.why}" if note else "waiting"
        table.add_row(asked.request_id, asked.model, asked.cause.value, state)
    show_table(table)


@training.command(epilog="Example: driftline training approve bearing-1f2e3d4c5b6a --why 'seen the data'")
@click.argument("request_id")
@WHY
@_WHO
@on_a_cluster
def approve(settings: Settings, request_id: str, why: str, who: str) -> None:
    """Let a training begin that waits for a person."""
    _say(settings.cluster(), request_id, "approve", who, why)
    click.echo(f"{request_id} is approved")


@training.command(epilog="Example: driftline training cancel bearing-1f2e3d4c5b6a --why 'wrong data'")
@click.argument("request_id")
@WHY
@_WHO
@on_a_cluster
def cancel(settings: Settings, request_id: str, why: str, who: str) -> None:
    """Stop a training, or keep it from beginning."""
    _say(settings.cluster(), request_id, "cancel", who, why)
    click.echo(f"{request_id} is cancelled")


def _say(cluster: Cluster, request_id: str, action: str, who: str, why: str) -> None:
    if request_id not in {one.request_id for one in _all(cluster, "training.requests")}:
        raise TrainerError(f"unknown request {request_id!r}", hint="`driftline training list` shows them")
    asked = OperatorRequest(
        request_id=str(uuid.uuid4()),
        subject=f"training/{request_id}",
        action=action,
        who=who,
        why=why,
        at_ms=time.time_ns() // 1_000_000,
    )
    _publish(cluster, "operators.requests", asked)


def _all(cluster: Cluster, topic: str) -> list[Any]:
    with feeds.follow(cluster, topic, from_ms=0, until_current=True) as feed:
        return [event.value for event in feed if isinstance(event, feeds.Changed)]


def _publish(cluster: Cluster, topic: str, record: Any) -> None:
    publisher = Publisher(cluster, Contract.connect(cluster), name=f"training-{uuid.uuid4().hex[:12]}").start()
    try:
        publisher.publish([(topic, record)])
    finally:
        publisher.close()
