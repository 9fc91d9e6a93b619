"""`driftline worker`: the stream processors, one subcommand each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from driftline.cluster_options import on_a_cluster
from driftline.endpoints import Watched
from driftline.settings import Settings
from driftline.stopping import stop_on_signals
from driftline.text_files import read_text_file
from driftline.watch_options import Watch, watch_app, watched

if TYPE_CHECKING:
    from streams.drift.policy import InForce
    from trust import Keyring

from driftline.groups import Group

__all__ = ["worker"]


_POLICY = click.option(
    "--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How it judges while no signed policy counts, TOML.",
)  # fmt: skip
_FOLLOW = click.option(
    "--follow", default="default", show_default=True, metavar="ID", help="The signed policy to follow."
)
_KEYRING = click.option(
    "--keyring", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Whose signed policies count; without one, none does.",
)  # fmt: skip
_INSTANCE = click.option(
    "--instance-id", default="", help="A name that outlives restarts, so that they disturb nobody."
)
_CHECKPOINTS = click.option(
    "--checkpoint-every-s", type=click.FloatRange(min=0), default=60.0, show_default=True,
    help="What a successor goes on from is kept this often; more seldom where it takes long.",
)  # fmt: skip


@click.group(cls=Group, epilog="Example: driftline worker drift --instance-id drift-1")
def worker() -> None:
    """Run one of the stream processors, until it is stopped."""


@worker.command(epilog="Example: driftline worker drift --keyring keyring.json --instance-id drift-1")
@_POLICY
@_FOLLOW
@_KEYRING
@_INSTANCE
@_CHECKPOINTS
@click.option("--wait-for-baseline-s", type=float, default=30.0, show_default=True, help="Before a dead letter.")
@watched
@on_a_cluster
def drift(
    settings: Settings,
    policy: Path | None,
    follow: str,
    keyring: Path | None,
    instance_id: str,
    checkpoint_every_s: float,
    wait_for_baseline_s: float,
    watch: Watch,
) -> None:
    """Score what devices see against what their models were trained on, and raise alerts."""
    # Before what follows is loaded, which may compile for half a minute.
    own, pinned = _own_policy(policy), _pinned(keyring)
    from streams.drift.service import DriftSettings, make_drift_app
    from streams.drift.warming import warm_up
    from streams.kafka import run_worker

    chosen = DriftSettings(
        policy=own,
        follow=follow,
        keyring=pinned,
        wait_for_baseline_s=wait_for_baseline_s,
        instance_id=instance_id,
        checkpoint_every_s=checkpoint_every_s,
        cache_dir=settings.cache,
    )
    warm_up()
    app = make_drift_app(settings.cluster(), chosen)
    watch(watch_app(app))
    run_worker(app)


@worker.command(epilog="Example: driftline worker health --keyring keyring.json --instance-id health-1")
@_POLICY
@_FOLLOW
@_KEYRING
@_INSTANCE
@_CHECKPOINTS
@watched
@on_a_cluster
def health(
    settings: Settings,
    policy: Path | None,
    follow: str,
    keyring: Path | None,
    instance_id: str,
    checkpoint_every_s: float,
    watch: Watch,
) -> None:
    """Watch how models fare on their devices, and raise alerts."""
    own, pinned = _own_policy(policy), _pinned(keyring)
    from streams.health.service import HealthSettings, make_health_app
    from streams.kafka import run_worker

    chosen = HealthSettings(
        policy=own,
        follow=follow,
        keyring=pinned,
        instance_id=instance_id,
        checkpoint_every_s=checkpoint_every_s,
        cache_dir=settings.cache,
    )
    app = make_health_app(settings.cluster(), chosen)
    watch(watch_app(app))
    run_worker(app)


@worker.command(epilog="Example: driftline worker cohorts --keyring keyring.json")
@_POLICY
@_FOLLOW
@_KEYRING
@_INSTANCE
@click.option(
    "--settle-s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long a pane waits, after its first share, for those of other partitions.",
)
@watched
@on_a_cluster
def cohorts(
    settings: Settings,
    policy: Path | None,
    follow: str,
    keyring: Path | None,
    instance_id: str,
    settle_s: float,
    watch: Watch,
) -> None:
    """Judge cohorts as one large device each, and make one alert of many that have one cause."""
    own, pinned = _own_policy(policy), _pinned(keyring)
    from streams.drift.cohort_service import CohortSettings, make_cohort_app
    from streams.drift.warming import warm_up
    from streams.kafka import run_worker

    chosen = CohortSettings(
        policy=own,
        follow=follow,
        keyring=pinned,
        instance_id=instance_id,
        settle_s=settle_s,
        cache_dir=settings.cache,
    )
    warm_up()
    app = make_cohort_app(settings.cluster(), chosen)
    watch(watch_app(app))
    run_worker(app)


@worker.command(epilog="Example: driftline worker views")
@watched
@on_a_cluster
def views(settings: Settings, watch: Watch) -> None:
    """Keep the fleet's current state in Redis, for reads in a millisecond."""
    from streams.views.service import ViewsWorker

    views_worker = ViewsWorker(settings.cluster(), settings.redis, cache_dir=settings.cache)
    stop_on_signals(views_worker.stop)
    watch(Watched(waiting=views_worker.waiting))
    views_worker.run()


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@worker.command(
    epilog="Example: driftline worker bridge --listen 0.0.0.0:8443 --certificate bridge.pem --key bridge.key "
    "--device-ca devices.pem"
)
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="HOST:PORT", help="HTTPS for devices.")
@click.option("--certificate", type=_FILE, help="The bridge's own certificate, PEM; it opens the HTTPS door.")
@click.option("--key", type=_FILE, help="Its key.")
@click.option("--device-ca", type=_FILE, help="The authority that signs devices' certificates.")
@click.option("--revoked", type=_FILE, help="Certificates that the authority took back, PEM.")
@click.option("--mqtt", metavar="URL", help="An MQTT broker, mqtts://host:port; it opens the MQTT door.")
@click.option("--mqtt-root", default="driftline", show_default=True, help="What its topics begin with.")
@click.option("--mqtt-ca", type=_FILE, help="The authority of the broker's certificate.")
@click.option("--mqtt-certificate", type=_FILE, help="The bridge's certificate for the broker.")
@click.option("--mqtt-key", type=_FILE, help="Its key.")
@click.option("--mqtt-username", default="", help="The bridge's name where the broker wants one.")
@click.option("--mqtt-password-file", type=_FILE, help="A file with its password.")
@watched
@on_a_cluster
def bridge(settings: Settings, listen: str, watch: Watch, **given: Any) -> None:
    """Let devices in that cannot reach Kafka: records up, each device's own command down."""
    import time

    from driftline.bridge_options import bridge_settings
    from streams.bridge import Bridge

    chosen = bridge_settings(listen, settings.cache, given)
    running = Bridge(settings.cluster(), chosen, now_ms=lambda: time.time_ns() // 1_000_000)
    stop_on_signals(running.stop)
    watch(Watched(waiting=running.waiting, registries=[running.registry]))
    running.run()


@worker.command(epilog="Example: driftline worker rollouts --key file:controller.pem")
@click.option("--key", required=True, help="What commands are signed with: file:PATH, env:NAME or hsm:ID?label=TOKEN.")
@click.option(
    "--admit", type=click.Choice(["anyone", "registered"]), default="anyone", show_default=True,
    help="Whether devices that nobody registered are taken in.",
)  # fmt: skip
@click.option(
    "--auto-updates/--no-auto-updates", default=True, help="Whether models without a plan start by themselves."
)
@watched
@on_a_cluster
def rollouts(settings: Settings, key: str, admit: str, auto_updates: bool, watch: Watch) -> None:
    """Bring releases to the fleet, watched; one controller leads, others stand by."""
    import os
    from dataclasses import replace

    from streams.collecting import collect_seldom
    from streams.rollouts.controller import ControllerOptions
    from streams.rollouts.service import RolloutService, ServiceOptions
    from trust import load_signer

    controller = ControllerOptions(admit_unknown=admit == "anyone")
    if not auto_updates:
        controller = replace(controller, default_plan=None)
    options = ServiceOptions(controller=controller, cache_dir=settings.cache)
    service = RolloutService(settings.cluster(), [load_signer(key, environ=os.environ)], options)
    collect_seldom()
    stop_on_signals(service.stop)
    watch(Watched(waiting=service.waiting))
    service.run()


@worker.command(
    epilog="Example: driftline worker trainer --key file:trainer.pem --store /srv/bundles --url http://reg:8090"
)
@click.option("--key", help="What bundles are signed with: file:PATH, env:NAME or hsm:ID?label=TOKEN.")
@click.option("--store", help="Where bundles are kept: a folder, or what fsspec opens.")
@click.option("--url", help="Where gateways fetch them.")
@watched
@on_a_cluster
def trainer(settings: Settings, key: str | None, store: str | None, url: str | None, watch: Watch) -> None:
    """Turn training requests into releases; settings are in [trainer] of driftline.toml."""
    import os
    import threading
    import time
    from dataclasses import replace

    from driftline.typed_values import Given
    from trainer.readiness import Readiness
    from trainer.worker import TrainerConfig, run_trainer

    said = {name: value for name, value in (("key", key), ("store", store), ("public_url", url)) if value}
    given = {name: Given(value, "the command line") for name, value in said.items()}
    rooms = {**settings.rooms, "trainer": {**settings.rooms.get("trainer", {}), **given}}
    config = replace(settings, rooms=rooms).section("trainer", TrainerConfig)
    stop = threading.Event()
    stop_on_signals(stop.set)
    readiness = Readiness()
    watch(Watched(waiting=readiness.waiting))
    run_trainer(
        settings.cluster(),
        config,
        stop,
        environ=os.environ,
        folder=settings.data / "trainer",
        clock_ms=lambda: time.time_ns() // 1_000_000,
        readiness=readiness,
    )


@worker.command(epilog="Example: driftline worker sink --folder /srv/offline")
@click.option(
    "--folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Filled with Parquet by day."
)
@click.option(
    "--flush-s",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="What was read is written this often.",
)
@watched
@on_a_cluster
def sink(settings: Settings, folder: Path, flush_s: float, watch: Watch) -> None:
    """Keep vectors, labels and statistics as Parquet, beyond the time that Kafka keeps them."""
    import logging
    import sys
    import threading
    import time

    from trainer.offline import Flushing, run_sink
    from trainer.readiness import Readiness

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    stop_on_signals(stop.set)
    readiness = Readiness()
    watch(Watched(waiting=readiness.waiting))
    run_sink(
        settings.cluster(),
        folder,
        stop,
        flushing=Flushing(every_s=flush_s),
        clock_ms=lambda: time.time_ns() // 1_000_000,
        cache_dir=settings.cache,
        readiness=readiness,
    )


@worker.command(epilog="Example: driftline worker webhooks --config webhooks.toml")
@click.option(
    "--config", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Who is told, TOML."
)
@click.option("--check", is_flag=True, help="Only read the file and its secrets.")
@watched
@on_a_cluster
def webhooks(settings: Settings, config: Path, check: bool, watch: Watch) -> None:
    """Deliver what happens on the topics over HTTP, signed, to services without Kafka."""
    import os
    from random import SystemRandom

    from streams.webhooks import Webhooks, read_subscriptions

    subscriptions = read_subscriptions(read_text_file(config), environ=os.environ)
    if check:
        for subscription in subscriptions:
            click.echo(f"{subscription.name}: {', '.join(subscription.topics)} to {subscription.url}")
        return
    running = Webhooks(settings.cluster(), subscriptions, rng=SystemRandom(), cache_dir=settings.cache)
    stop_on_signals(running.stop)
    watch(Watched(waiting=running.waiting))
    running.run()


def _own_policy(file: Path | None) -> "InForce":
    from driftline.policies import read_policy_file
    from streams.drift.policy import own_policy

    return own_policy() if file is None else own_policy(read_policy_file(file), policy_id=file.stem)


def _pinned(file: Path | None) -> "Keyring | None":
    from trust import read_keyring

    return None if file is None else read_keyring(file)


@worker.command(epilog="Example: driftline worker notify --routes routes.toml")
@click.option(
    "--routes", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Who is told, TOML."
)
@watched
@on_a_cluster
def notify(settings: Settings, routes: Path, watch: Watch) -> None:
    """Tell people of alerts, by e-mail, chat or what else Apprise knows."""
    from console.notify import Notifier
    from console.notify.config import read_routes
    from console.notify.sending import installed_handlers

    config = read_routes(read_text_file(routes))
    notifier = Notifier(settings.cluster(), config, handlers=installed_handlers(), cache_dir=settings.cache)
    stop_on_signals(notifier.stop)
    watch(Watched(waiting=notifier.waiting))
    notifier.run()
