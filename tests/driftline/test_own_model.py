"""The pages followed to the letter: keys as the tutorial makes them, a model of one's own as docs/models.md says."""

import functools
import re
import shlex
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from feed_reading import records_on
from live_gateway import Live
from onnx import TensorProto, helper, numpy_helper

from driftline.command import main
from schemas import feeds
from schemas.rollouts import Command
from schemas.wire import Contract
from trainer.publishing import Publisher
from trainer.release import keyring_of
from trust import Kind, load_signer, open_bundle, pack_bundle, read_keyring, sign_record

ENDS = ("succeeded", "failed", "refused", "fell_back")
DOCS = Path(__file__).parent.parent.parent / "docs"
FEATURES = 16


def shown(page: str, heading: str) -> list[list[str]]:
    """Return the commands under a heading of a page, as a reader would type them."""
    text = (DOCS / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.split("\n$ ")]
    whole = [line.removeprefix("$ ").replace("\\\n", " ") for line in lines]
    return [shlex.split(one) for line in whole for one in line.split("&&")]


@pytest.fixture
def run(in_a_folder_of_its_own):
    def command(words: list[str]) -> str:
        assert words[0] == "driftline", words
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{' '.join(words)}: {done.output}"
        return done.output

    return command


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "srv"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def graph_made_by_hand() -> bytes:
    """The largest of the absolute values of a vector: nobody here trained it."""
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["readings"], ["size"]),
            helper.make_node("ReduceMax", ["size"], ["largest"], axes=[1], keepdims=0),
        ],
        "by-hand",
        [helper.make_tensor_value_info("readings", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("largest", TensorProto.FLOAT, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_the_keys_of_both_pages_come_together_in_one_keyring(run, tmp_path):
    for words in [*tutorial_keys(), *shown("models.md", "Keys first")]:
        run(words)

    may = {key.name: set(key.may_sign) for key in read_keyring(tmp_path / "keyring.json").keys}
    assert may == {
        "trainer": {Kind.MANIFEST},
        "controller": {Kind.COMMAND},
        "root": {Kind.KEYRING},
        "policies": {Kind.POLICY},
    }


def test_a_graph_made_by_hand_gets_to_a_gateway_as_the_page_says(run, tmp_path, served, cluster):
    folder, url = served
    for words in tutorial_keys():
        run(words)
    (tmp_path / "model.onnx").write_bytes(graph_made_by_hand())
    run(shlex.split("driftline simulate data --fleet machine --devices 2 --samples 1500 --faults 0 -o normal.parquet"))

    (register,) = shown("models.md", "Your own model")
    places = {"/srv/bundles": str(folder), "http://registry:8090": url}
    said = run([places.get(word, word) for word in register])

    assert said.startswith("mine/1 is a candidate: ")
    with feeds.table(cluster, "models.releases") as releases:
        release = releases.wait_until_current()["mine/1"]
    assert release.metrics["mAP50"] == 0.85
    command = Command(
        device_id="press-7",
        revision=1,
        rollout_id="r",
        model_id="mine/1",
        bundle_sha256=release.bundle_sha256,
        bundle_bytes=release.bundle_bytes,
        bundle_url=release.bundle_url,
        issued_ms=1,
        envelope="",
    )
    signed = sign_record(command, [load_signer("file:controller.pem", environ={})])
    publisher = Publisher(cluster, Contract.connect(cluster), name="test").start()
    publisher.publish([("rollouts.commands", signed)])
    publisher.close()
    live = Live(tmp_path / "gateway", SimpleNamespace(keyring=read_keyring(Path("keyring.json"))), cluster)
    acks = records_on(cluster, "rollouts.acks", lambda found: any(ack.phase in ENDS for ack in found))
    live.close()
    assert (acks[-1].phase, acks[-1].model_id) == ("succeeded", "mine/1"), acks[-1].reason


def test_a_bundle_whose_graph_is_another_one_than_its_manifest_says_is_not_registered(run, tmp_path):
    run(shlex.split("driftline keys make trainer.pem"))
    run(
        shlex.split(
            "driftline train --data simulator --pipeline machine/1 --model press --devices 2 --samples 1500 "
            "--key file:trainer.pem -o press.bundle"
        )
    )
    signer = load_signer("file:trainer.pem", environ={})
    bundle = open_bundle(Path("press.bundle").read_bytes(), keyring_of([signer]))
    other = export_of(bundle.model, threshold=0.1)
    for graph, message in ((other, "confidence differs by"), (graph_made_by_hand(), "the graph's inputs are")):
        forged = pack_bundle(bundle.manifest, model=graph, grid=bundle.grid, baseline=bundle.baseline, signers=[signer])
        Path("forged.bundle").write_bytes(forged)
        register = "models register forged.bundle --store s --url http://127.0.0.1:9 --key file:trainer.pem"
        refused = CliRunner().invoke(main, shlex.split(register))
        assert refused.exit_code == 1
        assert message in refused.output


def export_of(graph: bytes, *, threshold: float) -> bytes:
    """Return a trained graph with another threshold in it."""
    proto = onnx.load_model_from_string(graph)
    found = [constant for constant in proto.graph.initializer if "threshold" in constant.name]
    assert len(found) == 1, [constant.name for constant in proto.graph.initializer]
    found[0].CopyFrom(numpy_helper.from_array(np.array(threshold, dtype=np.float32), found[0].name))
    return bytes(proto.SerializeToString())


def tutorial_keys() -> list[list[str]]:
    found = [words for words in shown("tutorial.md", "Do it by hand") if words[:2] == ["driftline", "keys"]]
    assert len(found) == 4
    return found
