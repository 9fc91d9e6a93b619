"""`driftline drift policy`: how drift is judged, checked, signed and told to the workers."""

import getpass
import json
import os
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.policies import present_policies, publish_policy, read_policy_file, withdraw_policy
from driftline.settings import Settings
from driftline.tables import plain_table
from driftline.tables import show as show_table
from driftline.times import ago, utc
from driftline.why_option import WHY
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.policy import Policy
from schemas.record import as_plain
from streams.drift.policy import timelines
from trust import load_signer, open_record, read_keyring

__all__ = ["policy"]

_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)
_ID = click.argument("policy_id", metavar="ID")
_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts.")
_KEY = click.option(
    "--key", "keys", multiple=True, required=True, metavar="SOURCE",
    help="What signs it: file:PATH, env:NAME or hsm:ID?label=TOKEN; repeatable.",
)  # fmt: skip
_KEYRING = click.option("--keyring", type=_PATH, help="Verify what is shown against these pinned keys.")


@click.group(cls=Group, epilog="Example: driftline drift policy set default strict.toml --key file:controller.pem")
def policy() -> None:
    """Check, sign and publish how drift is judged."""


@policy.command(epilog="Example: driftline drift policy check strict.toml")
@click.argument("file", type=_PATH)
def check(file: Path) -> None:
    """Say whether workers could judge by FILE."""
    read_policy_file(file)
    click.echo(f"{file}: in order")


@policy.command(name="set", epilog="Example: driftline drift policy set default strict.toml --key file:controller.pem")
@_ID
@click.argument("file", type=_PATH)
@_KEY
@WHY
@on_a_cluster
def set_(settings: Settings, policy_id: str, file: Path, keys: tuple[str, ...], why: str) -> None:
    """Publish FILE as the next revision of policy ID; workers that follow it take it up at once."""
    signers = [load_signer(key, environ=os.environ) for key in keys]
    document = read_policy_file(file)
    said = publish_policy(settings.cluster(), policy_id, document, signers, who=getpass.getuser(), why=why)
    click.echo(f"{policy_id}: revision {said.revision} published")


@policy.command(epilog="Example: driftline drift policy withdraw strict --key file:controller.pem --why 'trial over'")
@_ID
@_KEY
@WHY
@on_a_cluster
def withdraw(settings: Settings, policy_id: str, keys: tuple[str, ...], why: str) -> None:
    """Have workers judge as they were started to."""
    signers = [load_signer(key, environ=os.environ) for key in keys]
    said = withdraw_policy(settings.cluster(), policy_id, signers, who=getpass.getuser(), why=why)
    click.echo(f"{policy_id}: revision {said.revision} withdraws it")


@policy.command(name="list", epilog="Example: driftline drift policy list --keyring keyring.json")
@_KEYRING
@_JSON
@on_a_cluster
def list_(settings: Settings, keyring: Path | None, as_json: bool) -> None:
    """List the policies, and whether they verify."""
    known = sorted(present_policies(settings.cluster()).values(), key=lambda one: one.policy_id)
    if as_json:
        click.echo(json.dumps([_plain(one, keyring) for one in known], indent=2))
        return
    table = plain_table("POLICY", "REVISION", "STATE", "ISSUED", "BY", "SIGNATURE")
    for one in known:
        state = "withdrawn" if one.withdrawn else "applies"
        table.add_row(
            one.policy_id, str(one.revision), state, ago(one.issued_ms), one.issued_by, _signature(one, keyring)
        )
    show_table(table)


@policy.command(epilog="Example: driftline drift policy show default")
@_ID
@_KEYRING
@_JSON
@on_a_cluster
def show(settings: Settings, policy_id: str, keyring: Path | None, as_json: bool) -> None:
    """Show what a policy says, and where it counts already."""
    one = present_policies(settings.cluster()).get(policy_id)
    if one is None:
        raise DriftlineError(f"no policy {policy_id!r}", hint="`driftline drift policy list` shows them")
    counts = _counts(settings.cluster(), one)
    if as_json:
        click.echo(json.dumps({**_plain(one, keyring), "counts_from": counts}, indent=2))
        return
    click.echo(f"{policy_id} revision {one.revision}{', withdrawn' if one.withdrawn else ''}")
    click.echo(f"issued {utc(one.issued_ms)} by {one.issued_by}; {_signature(one, keyring)}")
    for topic, offsets in counts.items():
        click.echo(f"counts on {len(offsets)} partitions of {topic}")
    click.echo(f"\n{one.document.strip() or '# every default'}")


def _counts(cluster: Cluster, one: Policy) -> dict[str, dict[int, int]]:
    """Return, by topic and partition, the offset from which this revision is the one that counts."""
    counts: dict[str, dict[int, int]] = {}
    for topic in ("telemetry.feature-stats", "telemetry.model-health"):
        for partition, timeline in sorted(timelines(cluster, topic).items()):
            offset, held = timeline.spans[-1]
            if (held.policy_id, held.revision) == (one.policy_id, one.revision):
                counts.setdefault(topic, {})[partition] = offset
    return counts


def _plain(one: Policy, keyring: Path | None) -> dict[str, object]:
    plain = as_plain(one)
    del plain["envelope"]
    return {**plain, "signature": _signature(one, keyring)}


def _signature(one: Policy, keyring: Path | None) -> str:
    if keyring is None:
        return "not verified (no --keyring)"
    try:
        open_record(one, read_keyring(keyring))
    except DriftlineError as why:
        return f"refused: {why}"
    return "verified"
