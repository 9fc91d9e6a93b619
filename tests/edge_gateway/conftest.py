"""Real keys, real ONNX graphs in real bundles, and gateways that run on simulated readings."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from confluent_kafka import Producer
from onnx import TensorProto, helper, numpy_helper
from patience import PATIENCE_S

from edge_gateway.agent import Gateway
from edge_gateway.clock import wall_ms
from edge_gateway.commands import Received
from edge_gateway.config import GatewayConfig, SpoolConfig, UpdateConfig, WatchConfig, WindowConfig
from edge_gateway.fleet import Member, PlayedFleet
from edge_gateway.inference import Model
from schemas.canonical import with_content_id
from schemas.catalogue import CATALOGUE
from schemas.codec import codec_of
from schemas.grid import Baseline, FeatureBaseline
from schemas.manifest import Golden, Limits, Manifest, ModelKind, Port, Rule
from schemas.rollouts import Command
from schemas.wire import Contract
from sensing import bin_counts, make_grid, run_batch
from sensing.pipelines import MACHINE, Pipeline
from sensing.simulator import Simulated
from sensing.sources.base import Readings
from trust import Keyring, Kind, Signer, load_signer, make_key, pack_bundle, pin, write_keyring

DEVICE = "press-7"
DRIFTLINE = Path(sys.executable).with_name("driftline")


@dataclass(frozen=True)
class Made:
    """A bundle, and where it lies."""

    model_id: str
    content: bytes
    sha256: str
    path: Path


class Foundry:
    """Makes signed bundles of a small model: the mean square of standardised features, against a threshold."""

    def __init__(self, folder: Path, *, pipeline: Pipeline = MACHINE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pipeline = pipeline
        self.trainer = _party(folder, "trainer")
        self.controller = _party(folder, "controller")
        self.stranger = _party(folder, "stranger")
        self.keyring = Keyring(
            keys=(
                pin("trainer", self.trainer.public_key, Kind.MANIFEST),
                pin("controller", self.controller.public_key, Kind.COMMAND),
            )
        )
        readings = [Simulated(pipeline.name, device=device).take(3000) for device in range(4)]
        self.reference = np.vstack([run_batch(pipeline, each.at_ms, each.values).matrix for each in readings])
        self.grid = make_grid(pipeline, self.reference)

    def bundle(
        self,
        version: str = "1",
        *,
        threshold: float = 6.0,
        signer: Signer | None = None,
        manifest: dict[str, object] | None = None,
        sick: bool = False,
        padding: int = 0,
    ) -> Made:
        graph = _graph(self.reference, threshold, sick=sick, padding=padding)
        inputs = self.reference[[100, 500, 900]]
        found = Model(graph, features=inputs.shape[1]).decide(inputs) if not sick else None
        rows = [[None if np.isnan(value) else float(value) for value in row] for row in inputs]
        golden = Golden(
            inputs=tuple(map(tuple, rows)) if found else (),
            score=tuple(found.score.tolist()) if found else (),
            decision=tuple(found.anomaly.tolist()) if found else (),
            confidence=tuple(found.confidence.tolist()) if found else (),
            tolerance=1e-4,
        )
        made = self._manifest(version, golden, threshold)
        made = replace(made, **(manifest or {}))
        tally = bin_counts(self.grid, self.reference)
        baseline = with_content_id(
            Baseline(
                baseline_id="",
                model_id=made.model_id,
                grid_id=self.grid.grid_id,
                pipeline=self.grid.pipeline,
                samples=tally.samples,
                features=tuple(
                    FeatureBaseline(
                        name=feature.name,
                        counts=tuple(tally.counts[row].tolist()),
                        missing=int(tally.missing[row]),
                        out_of_range=int(tally.out_of_range[row]),
                        mean=float(tally.mean[row]),
                        variance=float(tally.m2[row] / (tally.usable[row] - 1)),
                        min=float(tally.min[row]),
                        max=float(tally.max[row]),
                    )
                    for row, feature in enumerate(self.grid.features)
                ),
            )
        )
        content = pack_bundle(made, model=graph, grid=self.grid, baseline=baseline, signers=[signer or self.trainer])
        import hashlib

        sha256 = hashlib.sha256(content).hexdigest()
        path = self.folder / "served" / f"{sha256}.bundle"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Made(made.model_id, content, sha256, path)

    def command(self, made: Made, revision: int = 1, *, signer: Signer | None = None, **changes: object) -> Command:
        from trust import sign_record

        command = Command(
            device_id=DEVICE,
            revision=revision,
            rollout_id=f"r{revision}",
            model_id=made.model_id,
            bundle_sha256=made.sha256,
            bundle_bytes=len(made.content),
            bundle_url=made.path.as_uri(),
            issued_ms=1_700_000_000_000,
            envelope="",
        )
        return sign_record(replace(command, **changes), [signer or self.controller])

    def _manifest(self, version: str, golden: Golden, threshold: float) -> Manifest:
        features = self.pipeline.feature_names
        return Manifest(
            format="",
            model="demo",
            version=version,
            kind=ModelKind.ANOMALY,
            algorithm="mean_square",
            pipeline=self.pipeline.id,
            features=features,
            grid_id="",
            baseline_id="",
            opset={"ai.onnx": 17},
            inputs=(Port(name="features", type="tensor(float)", shape=(-1, len(features))),),
            outputs=tuple(
                Port(name=name, type=kind, shape=(-1,))
                for name, kind in (
                    ("score", "tensor(float)"),
                    ("decision", "tensor(bool)"),
                    ("confidence", "tensor(float)"),
                )
            ),
            limits=Limits(latency_ms=50.0, memory_bytes=500_000_000),
            golden=golden,
            rules=(Rule(feature=features[0], low=0.0, high=100.0, max_rate_per_s=20.0),),
            files={},
            threshold=threshold,
        )


class Inline(Executor):
    """Runs jobs at once, so that a test decides when they happen."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed on as it is
            future.set_exception(error)
        return future


class Played:
    """A gateway on simulated readings, with its clock in the test's hand: a reading is a second."""

    def __init__(self, folder: Path, foundry: Foundry, *, faults=(), after_s: int = 0, **config: object) -> None:
        self.folder = folder
        self.foundry = foundry
        self.config = GatewayConfig(
            device_id=DEVICE,
            data=folder / "data",
            keyring=folder / "keys.json",
            **{
                "windows": WindowConfig(length_s=10.0, lateness_s=0.0, checkpoint_s=1.0),
                "watch": WatchConfig(bake_s=20.0, bake_windows=2, bake_decisions=10, bad_windows=2, good_windows=2),
                "updates": UpdateConfig(reserve_bytes=0),
                "spool": SpoolConfig(),
                **config,
            },
        )
        self.sensor = Simulated("machine", device=9, faults=faults)
        self.sensor.start_ms += after_s * 1000
        self.now_ms = self.sensor.start_ms
        self.gateway = self._opened()

    def _opened(self) -> Gateway:
        return Gateway(
            self.config,
            self.foundry.keyring,
            executor=Inline(),
            rng=Random(1),
            now_ms=self.now_ms,
            pipeline=self.sensor.pipeline,
        )

    def restart(self, *, crash: bool = True) -> None:
        if crash:
            self.gateway.spool.close()
        else:
            self.gateway.stop(self.now_ms)
        self.gateway = self._opened()

    def tell(self, command: Command) -> None:
        self.gateway.inbox.put(Received(command, ""))

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.gateway.tick(self.now_ms)

    def run(self, seconds: int, *, values=None) -> list:
        """Let time pass, reading by reading."""
        decided = []
        for _ in range(seconds):
            reading = self.sensor.take(1)
            self.now_ms += 1000
            shown = reading.values if values is None else values(reading.values)
            decided += self.gateway.take([Readings("s", reading.at_ms, shown)], self.now_ms)
            self.gateway.tick(self.now_ms)
        return decided

    def sent(self, topic: str) -> list:
        """What waits in the spool for a topic."""
        spool = self.gateway.spool
        waiting = spool.live(0, 1_000_000)
        codec = codec_of(CATALOGUE[topic].record)
        return [codec.decode(each.body) for each in waiting if each.topic == topic]

    def acks(self) -> list[tuple[int, str]]:
        return [(ack.revision, ack.phase.value) for ack in self.sent("rollouts.acks")]


class Shell:
    def __init__(self, folder, foundry):
        self.folder = folder
        write_keyring(folder / "keyring.json", foundry.keyring)
        (folder / "driftline.toml").write_text(
            'bootstrap = "127.0.0.1:9"\nregistry = "http://127.0.0.1:9"\n'
            f'[gateway]\ndevice_id = "press-7"\ndata = "{folder}/data"\nkeyring = "{folder}/keyring.json"\n'
            "[gateway.windows]\nlength_s = 5.0\nlateness_s = 0.0\n"
            "[gateway.watch]\nbake_s = 0.1\nbake_windows = 1\nbake_decisions = 3\n"
            "[gateway.source]\nspeed = 60.0\n[gateway.updates]\nreserve_bytes = 0\n"
        )

    def __call__(self, *words, **options):
        return subprocess.run(
            [DRIFTLINE, *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            **options,
        )

    def start(self, *words):
        return subprocess.Popen(
            [DRIFTLINE, *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def env(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
        return clean | {"DRIFTLINE_DATA": str(self.folder / "stack")}


@pytest.fixture(scope="session")
def shell_of():
    return Shell


@pytest.fixture
def write(cluster):
    """Publish a record as those write who are entitled to."""
    contract = Contract.connect(cluster)
    producer = Producer(cluster.producer_settings())

    def publish(topic, record, headers=()):
        key, value = contract.encode(topic, record)
        producer.produce(cluster.named(topic), key=key, value=value, headers=list(headers))
        assert producer.flush(PATIENCE_S) == 0

    return publish


@pytest.fixture(scope="session")
def foundry(tmp_path_factory) -> Foundry:
    return Foundry(tmp_path_factory.mktemp("foundry"))


@pytest.fixture
def played(tmp_path, foundry):
    """Make a gateway; its keyword arguments are sections of the configuration."""
    made = []

    def make(**config: object) -> Played:
        made.append(Played(tmp_path / f"g{len(made)}", foundry, **config))
        return made[-1]

    yield make
    for each in made:
        each.gateway.spool.close()


@pytest.fixture
def played_fleet(tmp_path, foundry, cluster):
    """Play devices over Kafka that bake in a moment; keyword arguments are sections of their configuration."""

    def play(devices: Sequence[Member], **config: object) -> PlayedFleet:
        base = GatewayConfig(
            device_id="x",
            data=tmp_path,
            keyring=tmp_path / "keyring.json",
            **{
                "windows": WindowConfig(length_s=10.0, lateness_s=0.0),
                "watch": WatchConfig(bake_s=0.5, bake_windows=1, bake_decisions=5),
                "updates": UpdateConfig(reserve_bytes=0),
                **config,
            },
        )
        return PlayedFleet(cluster, devices, tmp_path, foundry.keyring, base=base, now_ms=wall_ms)

    return play


@pytest.fixture
def serving(played, foundry):
    """Make a gateway that serves model demo/1, baked."""

    def make(**config: object) -> Played:
        gateway = played(**config)
        gateway.tell(foundry.command(foundry.bundle("1"), 1))
        gateway.tick(5)
        gateway.run(45)
        assert gateway.acks()[-1] == (1, "succeeded")
        return gateway

    return make


def _party(folder: Path, name: str) -> Signer:
    make_key(folder / f"{name}.pem")
    return load_signer(f"file:{folder / f'{name}.pem'}", environ={})


def _graph(reference, threshold: float, *, sick: bool, padding: int) -> bytes:
    mean, std = np.nanmean(reference, axis=0), np.nanstd(reference, axis=0) + 1e-6
    constants = {
        "mean": mean.astype(np.float32),
        "std": (std * (0 if sick else 1)).astype(np.float32),
        "limit": np.array(threshold, dtype=np.float32),
        "zero": np.array(0, dtype=np.float32),
        "axes": np.array([1], dtype=np.int64),
    }
    if padding:
        # Something that does not compress, so that a download takes its time.
        constants["padding"] = np.random.default_rng(padding).random(padding // 4, dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "mean", "features"], ["filled"]),
        helper.make_node("Sub", ["filled", "mean"], ["centred"]),
        helper.make_node("Mul" if sick else "Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Div", ["scaled", "std"], ["broken"]),
        helper.make_node("Mul", ["broken" if sick else "scaled", "scaled"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["score"], axes=[1], keepdims=0),
        helper.make_node("Greater", ["score", "limit"], ["decision"]),
        helper.make_node("Sub", ["score", "limit"], ["beyond"]),
        helper.make_node("Abs", ["beyond"], ["far"]),
        helper.make_node("Sigmoid", ["far"], ["confidence"]),
    ]
    graph = helper.make_graph(
        nodes,
        "demo",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(mean)])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("decision", TensorProto.BOOL, [None]),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, [None]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
