"""`driftline train`: train a model by hand."""

import os
import subprocess
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from driftline.pipeline_option import PIPELINE
from driftline.time_option import time_format_option
from schemas.manifest import ModelKind
from sensing import PIPELINES
from trainer.data import Dataset, simulated
from trainer.data.files import from_file
from trainer.errors import DataRefusedError, DatasetError
from trainer.models import ALGORITHMS, Settings
from trainer.offline.store import OfflineStore, is_store
from trainer.registry.store import bundle_name, open_store
from trainer.release import Order, Trained, train_release
from trainer.report import refusal_page, training_page
from trainer.tracking import Tracking
from trust import load_signer, write_whole

__all__ = ["train"]


@click.command(
    epilog="Example: driftline train --data d.parquet --pipeline machine/1 --model bearing --key file:t.pem -o b.bundle"
)
@click.option(
    "--data", required=True, metavar="FILE|FOLDER|simulator",
    help="CSV or Parquet of readings or vectors; a folder that `driftline worker sink` fills.",
)  # fmt: skip
@time_format_option
@click.option("--pipeline", required=True, type=PIPELINE, help="What makes the vectors.")
@click.option("--model", required=True, help="The model's name.")
@click.option("--version", "version_", default="1", show_default=True, help="Version of the model.")
@click.option(
    "--algorithm", type=click.Choice(sorted(ALGORITHMS)), default="isolation_forest", show_default=True,
    help="How it learns; boosted_trees and logistic learn from labels.",
)  # fmt: skip
@click.option("--key", required=True, metavar="SOURCE", help="file:PATH, env:NAME or hsm:ID?label=TOKEN.")
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where the bundle is written.")
@click.option("--store", metavar="FOLDER|URL", help="A store that it is put into as well.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="A page about it, HTML.")
@click.option("--mlflow", metavar="URI", help="An MLflow server to tell of it.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed trains the same model.")
@click.option(
    "--contamination", type=click.FloatRange(0, 0.5, min_open=True), default=0.1, show_default=True,
    help="Anomalous share, without labels.",
)  # fmt: skip
@click.option("--target", default="temperature", show_default=True, help="What a forecaster foretells.")
@click.option("--licence", default="", help="Of the model, an SPDX expression.")
@click.option("--samples", type=int, default=5_000, show_default=True, help="Of each simulated device.")
@click.option("--devices", type=int, default=8, show_default=True, help="Simulated devices.")
def train(
    data: str,
    time_format: str,
    pipeline: str,
    model: str,
    version_: str,
    algorithm: str,
    key: str,
    out: Path | None,
    store: str | None,
    report: Path | None,
    mlflow: str | None,
    seed: int,
    contamination: float,
    target: str,
    licence: str,
    samples: int,
    devices: int,
) -> None:
    """Train, check, export, judge and pack a model; releasing it is `driftline models register`."""
    if out is None and store is None:
        raise click.UsageError("nothing is kept: name --out, --store, or both")
    signer = load_signer(key, environ=os.environ)
    tracking = Tracking.of(mlflow, os.environ) if mlflow else None
    dataset = _data(data, pipeline, time_format, devices=devices, samples=samples, seed=seed)
    order = Order(
        model=model,
        version=version_,
        algorithm=algorithm,
        settings=Settings(seed=seed, contamination=contamination, target=target),
        licence=licence,
        git_revision=_git_revision(),
    )
    started = time.monotonic()
    try:
        with Progress(transient=True) as bar:
            task = bar.add_task("", total=1.0)
            trained = train_release(
                dataset,
                order,
                [signer],
                progress=lambda what, share: bar.update(task, description=what, completed=share),
            )
    except DataRefusedError as refusal:
        if report is not None:
            write_whole(report, refusal_page(order.model_id, refusal.checks, str(refusal)).encode())
        raise
    if report is not None:
        write_whole(report, training_page(trained).encode())
        click.echo(f"{report}: the report")
    if out is not None:
        write_whole(out, trained.content)
        click.echo(f"{out}: {trained.bundle.size} bytes, {trained.bundle.sha256}")
    if store is not None:
        open_store(store).put(bundle_name(trained.bundle.sha256), trained.content)
        click.echo(f"{store}: {bundle_name(trained.bundle.sha256)}")
    _tell(trained, time.monotonic() - started)
    if tracking is not None:
        # Last: the training stands, whatever the server says.
        click.echo(tracking.track(trained, at_ms=time.time_ns() // 1_000_000))


def _data(data: str, pipeline: str, time_format: str, *, devices: int, samples: int, seed: int) -> Dataset:
    if data == "simulator":
        if pipeline not in PIPELINES:
            raise click.UsageError(f"{pipeline} is not simulated; --data wants a file")
        trouble = 0.0 if pipeline.startswith("weather/") else 0.1
        return simulated(pipeline.partition("/")[0], devices=devices, samples=samples, seed=seed, trouble=trouble)
    if Path(data).is_dir():
        return _stored(Path(data), pipeline)
    return from_file(Path(data), pipeline, time_format=time_format)


def _stored(folder: Path, pipeline: str) -> Dataset:
    if not is_store(folder):
        raise DatasetError(
            f"{folder} holds no samples/day=… folders",
            hint="name a file, or a folder that `driftline worker sink` fills",
        )
    now_ms = time.time_ns() // 1_000_000
    return OfflineStore(folder).assemble(pipeline, from_ms=0, to_ms=now_ms, as_of_ms=now_ms).dataset


def _tell(trained: Trained, seconds: float) -> None:
    table = Table("", "", show_header=False, box=None)
    for check in trained.checks:
        table.add_row(check.name, check.finding)
    for name, value in trained.quality.items():
        table.add_row(name.replace("_", " "), f"{value:.4g}")
    if trained.model.kind is not ModelKind.FORECAST:
        table.add_row("threshold", f"{trained.model.threshold:.4g}")
    table.add_row("parity", f"at most {max(trained.parity.score, trained.parity.confidence):.2g} apart")
    table.add_row(
        "one inference", f"{trained.timing.onnx_p50_ms:.3f} ms, here; p99 {trained.timing.onnx_p99_ms:.3f} ms"
    )
    if trained.left_out:
        table.add_row("left out", f"dead or stuck sensors: {', '.join(trained.left_out)}")
    Console().print(table)
    click.echo(f"{trained.order.model_id} trained in {seconds:.1f} s")


def _git_revision() -> str:
    """Return the revision of the folder that the command runs in, with a plus for changes beyond it; else nothing."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
