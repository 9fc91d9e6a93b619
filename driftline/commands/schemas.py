"""`driftline schemas`: the Avro schemas of all records, on disk and in the registry."""

import sys
from pathlib import Path

import click

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from schemas import history
from schemas.catalogue import CATALOGUE
from schemas.wire import Contract

__all__ = ["schemas"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group, epilog="Example: driftline schemas check")
def schemas() -> None:
    """Render, release, check and register the schemas of records."""


@schemas.command(epilog="Example: driftline schemas render")
@click.option("--into", type=_FOLDER, default=history.RENDERED, help="Where; the package itself unless told otherwise.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if something would change.")
def render(into: Path, only_check: bool) -> None:
    """Write one .avsc file for each record, for other languages."""
    if only_check:
        stale = history.stale(into)
        for name in stale:
            click.echo(f"not current: {name}", err=True)
        sys.exit(1 if stale else 0)
    changed = history.render(into)
    for path in changed:
        click.echo(f"{'wrote' if path.exists() else 'removed'} {path}")
    click.echo(f"{len(changed)} changed, {len(history.records())} records")


@schemas.command(epilog="Example: driftline schemas release 0.2.0")
@click.argument("version")
@click.option("--into", type=_FOLDER, default=history.RELEASED, help="The history; the package's own by default.")
def release(version: str, into: Path) -> None:
    """Keep the present schemas as those of VERSION: what it writes is read for ever after."""
    click.echo(f"released {history.release(version, into)}")


@schemas.command(epilog="Example: driftline schemas check && git commit")
@click.option("--against", type=_FOLDER, default=history.RELEASED, help="The history; the package's own by default.")
def check(against: Path) -> None:
    """Compare the records with every released version, without a registry; exit 1 if they cannot read each other."""
    history.check(against)
    versions = {version for version, _, _ in history.released(against)}
    click.echo(f"{len(history.records())} records and {len(versions)} released versions read each other")


@schemas.command(epilog="Example: driftline schemas register --registry http://127.0.0.1:8081/apis/ccompat/v7")
@on_a_cluster
def register(settings: Settings) -> None:
    """Register the schema of every topic, with compatibility FULL_TRANSITIVE."""
    contract = Contract.connect(settings.cluster())
    for name, schema_id in contract.register_all(CATALOGUE).items():
        click.echo(f"{schema_id:>6}  {contract.cluster.named(name)}-value")
