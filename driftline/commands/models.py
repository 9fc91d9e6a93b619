"""`driftline models`: releases, from candidate to the archive."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.pipeline_option import PIPELINE
from driftline.releases import archive_release, promote_release, release_noted
from driftline.settings import Settings as Present
from driftline.time_option import time_format_option
from driftline.why_option import WHY
from schemas import feeds
from schemas.cluster import Cluster
from schemas.record import as_plain
from schemas.release import ModelRelease
from schemas.wire import Contract
from sensing import learn, pipeline_of
from trainer.data.files import from_file
from trainer.errors import RegistryError
from trainer.export.signature import check_bundle
from trainer.models.foreign import ForeignAlgorithm
from trainer.publishing import Publisher
from trainer.registry import compare, find_garbage, next_version, open_store, release_named
from trainer.registry.comparison import Comparison
from trainer.registry.serve import bundle_server
from trainer.registry.stages import in_production
from trainer.registry.store import Store, bundle_name
from trainer.release import Order, keyring_of, metrics_of, release_of, train_release
from trust import Bundle, load_signer, open_bundle, read_keyring

__all__ = ["models"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_STORE = click.option("--store", required=True, metavar="FOLDER|URL", help="Where bundles lie.")
_WHO = click.option("--who", default=lambda: os.environ.get("USER", "somebody"), help="Who does it, for the audit log.")


@click.group(
    cls=Group,
    epilog="Example: driftline models register model.onnx --model bearing --pipeline machine/1 --data d.parquet …",
)
def models() -> None:
    """Register, compare, promote and archive models."""


@models.command(
    epilog="Example: driftline models register b.bundle --store /srv/bundles --url http://registry:8090 --key …"
)
@click.argument("file", type=_FILE)
@_STORE
@click.option("--url", required=True, help="Where gateways fetch from the store.")
@click.option("--key", required=True, metavar="SOURCE", help="Who signs, or has signed: file:, env: or hsm:.")
@click.option("--model", help="Name of an ONNX model.")
@click.option("--pipeline", type=PIPELINE, help="What an ONNX model takes.")
@click.option("--data", type=_FILE, help="What an ONNX model's normal looks like: CSV or Parquet.")
@time_format_option
@click.option("--threshold", type=float, help="An ONNX model's; without it, chosen on the data.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=VALUE", help="A figure of your own; repeatable.")
@click.option("--licence", default="", help="Of an ONNX model, an SPDX expression.")
@_WHO
@WHY
@on_a_cluster
def register(
    settings: Present,
    file: Path,
    store: str,
    url: str,
    key: str,
    model: str | None,
    pipeline: str | None,
    data: Path | None,
    time_format: str,
    threshold: float | None,
    metrics: tuple[str, ...],
    licence: str,
    who: str,
    why: str,
) -> None:
    """Make a bundle, or an ONNX model of your own, a candidate."""
    given = dict(_metric(text) for text in metrics)
    signer, releases = load_signer(key, environ=os.environ), _releases(settings.cluster())
    if file.suffix == ".onnx":
        if model is None or pipeline is None or data is None:
            raise click.UsageError("an ONNX model needs --model, --pipeline and --data")
        order = Order(model=model, version=next_version(releases, model), algorithm="foreign", licence=licence)
        trained = train_release(
            from_file(data, pipeline, time_format=time_format),
            order,
            [signer],
            grid=_grid(settings.cluster(), pipeline),
            algorithm=ForeignAlgorithm(file.read_bytes(), threshold=threshold),
        )
        content, given = trained.content, {**metrics_of(trained), **given}
    else:
        content = file.read_bytes()
    bundle = open_bundle(content, keyring_of([signer]))
    check_bundle(bundle)
    if bundle.manifest.model_id in releases:
        raise RegistryError(f"{bundle.manifest.model_id} is registered already", hint="train it with another --version")
    open_store(store).put(bundle_name(bundle.sha256), content)
    release = release_of(
        bundle,
        {**bundle.manifest.metrics, **given},
        bundle_url=f"{url.rstrip('/')}/{bundle_name(bundle.sha256)}",
        created_ms=_now_ms(),
        created_by=who,
    )
    shown = [("models.grids", bundle.grid), ("models.baselines", bundle.baseline), ("models.releases", release)]
    _publish(settings.cluster(), [*shown, ("audit.log", release_noted(release, "registered", who, why))])
    click.echo(f"{bundle.manifest.model_id} is a candidate: {bundle.sha256}")


@models.command(name="list", epilog="Example: driftline models list --json")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def list_(settings: Present, as_json: bool) -> None:
    """Show all releases."""
    releases = sorted(_releases(settings.cluster()).items(), key=lambda item: (item[1].model, item[1].created_ms))
    if as_json:
        click.echo(json.dumps([as_plain(release) for _, release in releases], indent=2))
        return
    for model_id, release in releases:
        size = f"{release.bundle_bytes / 1024:.0f} kB"
        click.echo(
            f"{model_id:<24} {release.stage.value:<11} {release.pipeline:<14} {size:>9}  by {release.created_by}"
        )


@models.command(epilog="Example: driftline models show bearing/3")
@click.argument("model_id")
@on_a_cluster
def show(settings: Present, model_id: str) -> None:
    """Show one release, JSON: where it comes from, how good it is, what is in its bundle."""
    click.echo(json.dumps(as_plain(release_named(_releases(settings.cluster()), model_id)), indent=2))


@models.command(
    name="compare", epilog="Example: driftline models compare bearing/3 bearing/4 --data held-out.parquet …"
)
@click.argument("champion")
@click.argument("challenger")
@click.option("--data", type=_FILE, required=True, help="Held-out data: neither may have learned from it.")
@click.option("--keyring", type=_FILE, required=True, help="The pinned keys.")
@_STORE
@on_a_cluster
def compare_(settings: Present, champion: str, challenger: str, data: Path, keyring: Path, store: str) -> None:
    """Let two releases judge the same data."""
    releases = _releases(settings.cluster())
    found = _compared(releases, champion, challenger, data, keyring, store)
    click.echo(f"{found}: {'not worse' if found.not_worse else 'worse'}")


@models.command(name="promote", epilog="Example: driftline models promote bearing/4 --data held-out.parquet …")
@click.argument("model_id")
@click.option("--data", type=_FILE, help="Held-out data to compare on, where one is in production.")
@click.option("--keyring", type=_FILE, help="The pinned keys, to compare with.")
@click.option("--store", metavar="FOLDER|URL", help="Where the bundles lie, to compare with.")
@click.option("--force", is_flag=True, help="Though it is worse, or not compared.")
@_WHO
@WHY
@on_a_cluster
def promote_(
    settings: Present,
    model_id: str,
    data: Path | None,
    keyring: Path | None,
    store: str | None,
    force: bool,
    who: str,
    why: str,
) -> None:
    """Take a release one stage further; into production only when it is not worse."""
    releases = _releases(settings.cluster())
    release = release_named(releases, model_id)
    champion, comparison = in_production(releases, release.model), None
    if champion is not None and data is not None and keyring is not None and store is not None:
        present = f"{champion.model}/{champion.version}"
        comparison = _compared(releases, present, model_id, data, keyring, store)
    for one in promote_release(settings.cluster(), model_id, who=who, why=why, comparison=comparison, insist=force):
        click.echo(f"{one.model}/{one.version} is in {one.stage.value}")


@models.command(name="archive", epilog="Example: driftline models archive bearing/2 --why 'superseded'")
@click.argument("model_id")
@click.option("--force", is_flag=True, help="Though it is in production.")
@_WHO
@WHY
@on_a_cluster
def archive_(settings: Present, model_id: str, force: bool, who: str, why: str) -> None:
    """Take a release out of use."""
    archive_release(settings.cluster(), model_id, who=who, why=why, insist=force)
    click.echo(f"{model_id} is archived")


@models.command(epilog="Example: driftline models gc --store /srv/bundles --delete")
@_STORE
@click.option("--keep", default=3, show_default=True, help="Archived bundles kept per model.")
@click.option("--older-than-days", default=30.0, show_default=True, help="Younger ones are kept as well.")
@click.option("--delete", is_flag=True, help="Without it, only shown.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def gc(settings: Present, store: str, keep: int, older_than_days: float, delete: bool, as_json: bool) -> None:
    """Show or delete bundles that nobody needs any more."""
    opened = open_store(store)
    stored = opened.sizes("bundles")
    devices = feeds.snapshot(settings.cluster(), "fleet.devices").values()
    garbage = find_garbage(
        _releases(settings.cluster()),
        stored,
        {name: opened.modified_ms(name) for name in stored},
        {device.model_id for device in devices},
        now_ms=_now_ms(),
        keep=keep,
        min_age_ms=int(older_than_days * 86_400_000),
    )
    for one in garbage:
        if delete:
            opened.delete(one.name)
    if as_json:
        told = [{"name": one.name, "bytes": one.size, "why": one.why, "deleted": delete} for one in garbage]
        click.echo(json.dumps(told, indent=2))
        return
    for one in garbage:
        click.echo(f"{'deleted' if delete else 'would delete'} {one.name} ({one.size} bytes): {one.why}")
    click.echo(f"{len(garbage)} of {len(stored)} bundles, {sum(one.size for one in garbage)} bytes")


@models.command(epilog="Example: driftline models serve --store /srv/bundles --port 8090")
@click.option("--store", required=True, type=click.Path(path_type=Path, file_okay=False, exists=True), help="A folder.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, help="Port to listen on; 0 is any free one.")
def serve(store: Path, host: str, port: int) -> None:
    """Serve bundles and keyrings to gateways over HTTP, with ranges and ETags."""
    web.run_app(bundle_server(store), host=host, port=port, print=lambda text: click.echo(text, err=True))


def _compared(
    releases: dict[str, ModelRelease], champion: str, challenger: str, data: Path, keyring: Path, store: str
) -> Comparison:
    opened = open_store(store)
    one = _bundle(release_named(releases, champion), opened, keyring)
    other = _bundle(release_named(releases, challenger), opened, keyring)
    learn(pipeline_of(other.grid))
    return compare(one, other, from_file(data, other.manifest.pipeline))


def _bundle(release: ModelRelease, store: Store, keyring: Path) -> Bundle:
    content = store.get(bundle_name(release.bundle_sha256))
    return open_bundle(content, read_keyring(keyring), sha256=release.bundle_sha256)


def _releases(cluster: Cluster) -> dict[str, ModelRelease]:
    return feeds.snapshot(cluster, "models.releases")


def _grid(cluster: Cluster, pipeline: str) -> Any:
    grids = feeds.snapshot(cluster, "models.grids", where=lambda grid: grid.pipeline == pipeline)
    return grids[min(grids)] if grids else None


def _publish(cluster: Cluster, records: list[tuple[str, Any]]) -> None:
    with _publisher(cluster) as publisher:
        publisher.publish(records)


@contextmanager
def _publisher(cluster: Cluster) -> Iterator[Publisher]:
    # A name of its own: a person at a terminal shuts nobody out.
    publisher = Publisher(cluster, Contract.connect(cluster), name=f"models-{uuid.uuid4().hex[:12]}").start()
    try:
        yield publisher
    finally:
        publisher.close()


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no figure; wanted NAME=NUMBER") from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
