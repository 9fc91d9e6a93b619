"""Trainings are told to a real MLflow server on SQLite, which runs in an environment of its own."""

import json
import os
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from patience import eventually

from trainer.tracking import Tracking, TrackingError

_ENVIRON = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
ROOT = Path(__file__).parents[2]
MLFLOW = Path(os.environ.get("MLFLOW_ENVIRONMENT", ROOT / ".venv-mlflow")) / "bin" / "mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not MLFLOW.exists():
        pytest.skip("no MLflow server: `make .venv-mlflow/.ready` installs one")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [MLFLOW, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'm.db'}", "--artifacts-destination", str(folder / "kept")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=_ENVIRON)
    try:
        eventually(lambda: process.poll() is not None or _answers(port), 150, (folder / "log").read_text)
        assert process.poll() is None, (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def ask(server: str, what: str, **fields: str) -> dict:
    url = f"{server}/api/2.0/mlflow/{what}?{urllib.parse.urlencode(fields)}"
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.timeout(300)
def test_a_training_is_a_run_with_all_that_belongs_to_it(server, trained):
    told = Tracking.of(f"{server}/", {}).track(trained, at_ms=1_790_000_000_000, request_id="r1")

    run_id = told.rpartition("/")[2]
    run = ask(server, "runs/get", run_id=run_id)["run"]
    metrics = {one["key"]: one["value"] for one in run["data"]["metrics"]}
    params = {one["key"]: one["value"] for one in run["data"]["params"]}
    tags = {one["key"]: one["value"] for one in run["data"]["tags"]}
    assert run["info"]["status"] == "FINISHED"
    assert metrics["recall"] == pytest.approx(trained.quality["recall"])
    assert (params["algorithm"], params["trees"]) == ("isolation_forest", "100")
    assert (tags["driftline.request"], tags["driftline.bundle"]) == ("r1", trained.bundle.sha256)
    files = ask(server, "artifacts/list", run_id=run_id, path="bundle")["files"]
    assert {one["path"]: int(one["file_size"]) for one in files} == {
        f"bundle/{trained.bundle.sha256}.bundle": len(trained.content),
        "bundle/model.onnx": len(trained.bundle.model),
    }


@pytest.mark.timeout(300)
def test_the_second_training_is_the_second_version_of_its_model(server, trained):
    tracking = Tracking.of(server, {})
    for _ in range(2):
        told = tracking.track(trained, at_ms=1_790_000_000_000)

    newest = ask(server, "registered-models/get", name="bearing")["registered_model"]["latest_versions"][0]
    assert int(newest["version"]) >= 2
    assert newest["run_id"] == told.rpartition("/")[2]
    tags = {one["key"]: one["value"] for one in newest["tags"]}
    assert tags == {"driftline.version": "1", "driftline.bundle": trained.bundle.sha256}


def test_a_server_that_is_away_is_named(trained):
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        Tracking("http://127.0.0.1:9").track(trained, at_ms=1)


@pytest.mark.parametrize("uri", ["sqlite:///m.db", "file:/tmp", "127.0.0.1:5000", "http://", ""])
def test_what_is_no_server_is_refused_at_once(uri):
    with pytest.raises(TrackingError, match="wanted http"):
        Tracking(uri)
