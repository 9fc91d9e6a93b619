"""`driftline audit`: what was decided and done, and the proof that nobody changed it since."""

import datetime as dt
import json
import os
import sys
import time
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from driftline.stopping import stop_on_signals
from schemas import feeds
from schemas.jsonable import as_jsonable

__all__ = ["audit"]

_KEYRING = click.option(
    "--keyring", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="Whom to trust."
)


@click.group(cls=Group, epilog="Example: driftline audit verify --keyring keyring.json")
def audit() -> None:
    """Read, sign and prove the audit log."""


@audit.command(name="list", epilog="Example: driftline audit list --subject rollout/bearings-14")
@click.option("--subject", default="", help="Only what is about this, as kind/id.")
@click.option("--evidence", is_flag=True, help="Show what each entry stands on.")
@click.option("--json", "as_json", is_flag=True, help="For scripts; with the evidence.")
@on_a_cluster
def list_(settings: Settings, subject: str, evidence: bool, as_json: bool) -> None:
    """Show the log, the oldest entry first."""
    with feeds.follow(settings.cluster(), "audit.log", from_ms=0, until_current=True) as log:
        entries = [event.value for event in log if isinstance(event, feeds.Changed)]
    entries = sorted((one for one in entries if not subject or one.subject == subject), key=lambda one: one.at_ms)
    if as_json:
        click.echo(json.dumps([as_jsonable(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        moment = dt.datetime.fromtimestamp(entry.at_ms / 1_000, dt.UTC).isoformat(" ", "seconds")
        why = f": {entry.why}" if entry.why else ""
        click.echo(f"{moment}  {entry.subject}  {entry.action}  by {entry.who}{why}")
        for name, value in sorted(entry.evidence.items()) if evidence else ():
            click.echo(f"    {name}: {value}")


@audit.command(epilog="Example: driftline audit verify --keyring keyring.json")
@_KEYRING
@on_a_cluster
def verify(settings: Settings, keyring: Path) -> None:
    """Prove that nothing was removed or altered; exit 1 and name the first entry that was."""
    from streams.rollouts.auditor import verify_log
    from trust import read_keyring

    findings, covered = verify_log(settings.cluster(), read_keyring(keyring), now_ms=time.time_ns() // 1_000_000)
    for finding in findings:
        click.echo(str(finding), err=True)
    if not findings:
        click.echo(f"{covered} entries are as they were signed")
    sys.exit(1 if findings else 0)


@audit.command(epilog="Example: driftline audit run --key file:auditor.pem --keyring keyring.json")
@click.option("--key", required=True, help="What signs checkpoints: file:PATH, env:NAME or hsm:ID?label=TOKEN.")
@_KEYRING
@click.option("--every-s", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="Between checkpoints.")
@on_a_cluster
def run(settings: Settings, key: str, keyring: Path, every_s: float) -> None:
    """Follow the log and publish signed checkpoints, until it is stopped."""
    from streams.rollouts.auditor import Auditor
    from trust import load_signer, read_keyring

    signer = load_signer(key, environ=os.environ)
    auditor = Auditor(settings.cluster(), [signer], read_keyring(keyring), every_s=every_s, cache_dir=settings.cache)
    stop_on_signals(auditor.stop)
    auditor.run()
