"""Schema ids, with a real registry, without one, and with one that was rebuilt."""

import gc
import json
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.errors import BadRecordError, IncompatibleSchemaError, RegistryAwayError
from schemas.fleet import Device, DeviceState, Heartbeat
from schemas.registry import Registry
from schemas.rollouts import RolloutPlan
from schemas.schema_cache import SchemaCache, fingerprint
from schemas.wire import Contract

PLAN = RolloutPlan(rollout_id="r1", model_id="m/2", document="{}", created_ms=1, created_by="ada")
TOPIC = "rollouts.plans"
PLAN_SCHEMA = codec_of(RolloutPlan).schema
NOBODY_LISTENS = "http://127.0.0.1:9/apis/ccompat/v7"


class Clock:
    """Milliseconds that pass when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def cluster(registry_url, prefix):
    return Cluster(registry_url=registry_url, prefix=prefix)


@pytest.fixture
def away(cluster):
    """The same cluster while its registry does not answer: the address in the cache stays, the port does not."""

    def gone(folder):
        kept = json.loads((folder / "schema-ids.json").read_text())
        kept["registry_url"] = NOBODY_LISTENS
        (folder / "schema-ids.json").write_text(json.dumps(kept))
        return replace(cluster, registry_url=NOBODY_LISTENS)

    return gone


def test_registering_sets_the_compatibility_of_the_subject(cluster):
    contract = Contract.connect(cluster)

    contract.register(TOPIC)

    config = contract.registry._client.get_config(f"{cluster.prefix}rollouts.plans-value")
    assert config.compatibility_level.value == "FULL_TRANSITIVE"


def test_many_gateways_may_register_a_subject_at_the_same_moment(cluster):
    contracts = [Contract.connect(cluster) for _ in range(8)]
    starting = threading.Barrier(len(contracts))

    def register(contract):
        starting.wait()
        return contract.register(TOPIC)

    with ThreadPoolExecutor(len(contracts)) as at_once:
        ids = set(at_once.map(register, contracts))

    assert len(ids) == 1


def test_every_topic_can_be_registered_and_stays_known(cluster, tmp_path):
    first = Contract.connect(cluster, cache_dir=tmp_path)
    ids = first.register_all(CATALOGUE)

    again = Contract.connect(cluster, cache_dir=tmp_path)

    # All of them were confirmed although the registry words a schema its own way, and none had to be registered anew.
    assert again.registry._unconfirmed == set()
    for name, topic in CATALOGUE.items():
        assert again.registry._cache.id_of(again.subject_of(topic), codec_of(topic.record).schema) == ids[name]


def test_another_reader_looks_an_unknown_id_up(cluster, tmp_path):
    key, value = Contract.connect(cluster).encode(TOPIC, PLAN)

    assert Contract.connect(cluster, cache_dir=tmp_path).decode(TOPIC, key, value) == PLAN


def test_a_gateway_restarts_while_the_registry_is_away(cluster, away, tmp_path):
    key, value = Contract.connect(cluster, cache_dir=tmp_path).encode(TOPIC, PLAN)

    contract = Contract.connect(away(tmp_path), cache_dir=tmp_path)

    assert contract.encode(TOPIC, PLAN) == (key, value)
    assert contract.decode(TOPIC, key, value) == PLAN
    assert contract.registry.confirm() is False
    with pytest.raises(RegistryAwayError, match=r"the schema registry at http://127\.0\.0\.1:9/.* does not answer"):
        contract.encode("fleet.devices", _device())


def test_an_address_without_the_path_is_told_from_a_registry_that_is_away(cluster, tmp_path):
    root = cluster.registry_url.split("/apis/")[0]

    with pytest.raises(RegistryAwayError, match=r"answers, but has no schema registry \(HTTP 404\)"):
        Registry(Cluster(registry_url=root)).register("nothing-value", {"type": "string"})


def test_an_unknown_id_cannot_be_decoded_now_while_the_registry_is_away(tmp_path):
    contract = Contract.connect(Cluster(registry_url=NOBODY_LISTENS), cache_dir=tmp_path)

    with pytest.raises(RegistryAwayError) as caught:
        contract.decode(TOPIC, b"r1", b"\0\0\0\0\7abc")

    assert not isinstance(caught.value, BadRecordError)
    assert caught.value.hint


def test_a_registry_that_hangs_costs_seconds_and_then_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = Registry(Cluster(registry_url=f"http://127.0.0.1:{silent.getsockname()[1]}"), clock_ms=Clock())
        started = time.monotonic()
        for schema_id in range(50):
            with pytest.raises(RegistryAwayError):
                registry.schema_of(schema_id)

        # Ten seconds, once; one that hung for all fifty would take eight minutes.
        assert time.monotonic() - started < 50


def test_a_rebuilt_registry_is_noticed_on_connect(cluster, tmp_path):
    schema_id = Contract.connect(cluster).register(TOPIC)
    # What a gateway remembers from before: the same id stood for another record.
    before = SchemaCache.load(cluster.registry_url, tmp_path)
    before.keep(schema_id, codec_of(Device).schema, subject=f"{cluster.prefix}fleet.devices-value")

    contract = Contract.connect(cluster, cache_dir=tmp_path)

    assert contract.decode(TOPIC, *contract.encode(TOPIC, PLAN)) == PLAN
    key, value = contract.encode("fleet.devices", _device())
    assert int.from_bytes(value[1:5]) != schema_id
    assert contract.decode("fleet.devices", key, value) == _device()


def test_an_id_that_the_registry_lost_is_dropped(cluster, tmp_path):
    before = SchemaCache.load(cluster.registry_url, tmp_path)
    before.keep(2_000_000_000, PLAN_SCHEMA, subject=f"{cluster.prefix}{TOPIC}-value")

    contract = Contract.connect(cluster, cache_dir=tmp_path)

    _, value = contract.encode(TOPIC, PLAN)
    assert int.from_bytes(value[1:5]) != 2_000_000_000
    with pytest.raises(BadRecordError, match="schema id: found 2000000000, wanted one that http"):
        contract.decode(TOPIC, b"r1", b"\0" + (2_000_000_000).to_bytes(4) + value[5:])


def test_a_registry_that_is_rebuilt_while_we_run_makes_no_record_bad(cluster, tmp_path):
    key, value = Contract.connect(cluster).encode(TOPIC, PLAN)
    stale = SchemaCache.load(cluster.registry_url, tmp_path)
    stale.keep(int.from_bytes(value[1:5]), codec_of(Heartbeat).schema)
    # Not confirmed: as if it had been rebuilt a moment after that.
    contract = Contract(cluster, Registry(cluster, cache_dir=tmp_path))

    assert contract.decode(TOPIC, key, value) == PLAN


def test_an_unknown_id_is_asked_for_once_a_second(cluster):
    clock = Clock()
    registry = Registry(cluster, clock_ms=clock)
    asked = _count_questions(registry)

    for _ in range(100):
        with pytest.raises(BadRecordError):
            registry.schema_of(1_999_999_999)
    assert len(asked) == 1
    clock.now_ms += 1_000
    with pytest.raises(BadRecordError):
        registry.schema_of(1_999_999_999)
    assert len(asked) == 2


def test_a_storm_of_unknown_ids_is_bounded(cluster):
    clock = Clock()
    registry = Registry(cluster, clock_ms=clock)
    asked = _count_questions(registry)

    verdicts = [_verdict(registry, 1_900_000_000 + number) for number in range(200)]

    assert len(asked) == 20
    assert verdicts == [BadRecordError] * 20 + [RegistryAwayError] * 180
    clock.now_ms += 1_000
    assert _verdict(registry, 1_900_000_100) is BadRecordError


def test_a_bad_record_makes_us_look_again_only_once_a_second(cluster):
    clock = Clock()
    contract = Contract(cluster, Registry(cluster, clock_ms=clock))
    key, value = contract.encode(TOPIC, PLAN)
    asked = _count_questions(contract.registry)

    for _ in range(100):
        with pytest.raises(BadRecordError, match="after its end"):
            contract.decode(TOPIC, key, value + b"\0")

    assert len(asked) <= 1


def test_an_incompatible_schema_is_refused_by_the_registry(cluster):
    registry = Registry(cluster)
    subject = f"{cluster.prefix}changed-value"
    registry.register(subject, PLAN_SCHEMA)
    narrowed = PLAN_SCHEMA | {"fields": [*PLAN_SCHEMA["fields"], {"name": "budget", "type": "long"}]}

    with pytest.raises(IncompatibleSchemaError, match="changed-value: the registry refuses the schema"):
        registry.register(subject, narrowed)


def test_threads_share_a_registry(cluster):
    contract = Contract.connect(cluster)
    made = []
    threads = [threading.Thread(target=lambda: made.append(contract.encode(TOPIC, PLAN))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert len(made) == 8


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"registry_url": 5}', "null", "[" * 100_000])
def test_a_damaged_cache_is_an_empty_one(tmp_path, damage):
    (tmp_path / "schema-ids.json").write_text(damage)

    assert SchemaCache.load(NOBODY_LISTENS, tmp_path).schemas == {}


def test_a_damaged_entry_is_left_out(tmp_path):
    cache = SchemaCache.load(NOBODY_LISTENS, tmp_path)
    cache.keep(1, PLAN_SCHEMA, subject="a-value")
    cache.keep(2, codec_of(Device).schema, subject="b-value")
    path = tmp_path / "schema-ids.json"
    path.write_text(path.read_text().replace("rollout_id", "rollout_it"))

    found = SchemaCache.load(NOBODY_LISTENS, tmp_path)

    assert found.schemas == {2: codec_of(Device).schema}
    assert found.id_of("a-value", PLAN_SCHEMA) is None
    assert found.id_of("b-value", codec_of(Device).schema) == 2


def test_the_cache_of_another_registry_is_not_used(tmp_path):
    SchemaCache.load(NOBODY_LISTENS, tmp_path).keep(1, PLAN_SCHEMA)

    assert SchemaCache.load("http://elsewhere", tmp_path).schemas == {}


def test_a_cache_is_never_half_written(tmp_path):
    cache = SchemaCache.load(NOBODY_LISTENS, tmp_path)
    cache.keep(1, PLAN_SCHEMA)
    before = (tmp_path / "schema-ids.json").stat().st_ino

    cache.keep(2, codec_of(Device).schema)

    # Another file took its place; whoever has the first one open reads it whole.
    assert (tmp_path / "schema-ids.json").stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["schema-ids.json"]


def test_new_words_are_registered_anew_but_mean_the_same(cluster):
    contract = Contract.connect(cluster)
    subject = contract.subject_of(CATALOGUE[TOPIC])
    contract.register(TOPIC)
    reworded = PLAN_SCHEMA | {"doc": "What should be brought where."}
    asked = _count_questions(contract.registry)

    contract.registry.id_of(subject, PLAN_SCHEMA)
    assert asked == []
    contract.registry.id_of(subject, reworded)
    assert asked

    assert fingerprint(reworded) == fingerprint(PLAN_SCHEMA)
    assert contract.decode(TOPIC, *contract.encode(TOPIC, PLAN)) == PLAN


def test_credentials_in_the_address_are_not_told():
    registry = Registry(Cluster(registry_url="http://ada:secret@127.0.0.1:9/"))

    with pytest.raises(RegistryAwayError) as caught:
        registry.schema_of(1)

    assert "secret" not in str(caught.value)


def _verdict(registry, schema_id):
    try:
        registry.schema_of(schema_id)
    except (BadRecordError, RegistryAwayError) as trouble:
        return type(trouble)
    return None


def _count_questions(registry):
    """Note every request that goes out to the real registry."""
    asked = []
    session = registry._client._rest_client.session
    session.event_hooks["request"].append(lambda request: asked.append(request.url))
    return asked


def _device():
    return Device(
        device_id="d",
        state=DeviceState.ONLINE,
        labels={},
        model_id="",
        revision=0,
        registered_ms=0,
        last_seen_ms=0,
    )


def test_only_who_speaks_https_reads_whom_the_system_trusts(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")

    Registry(Cluster(registry_url="http://127.0.0.1:1"))
    with pytest.raises(FileNotFoundError):
        Registry(Cluster(registry_url="http://127.0.0.1:1,https://127.0.0.1:2"))


def test_who_lets_go_of_a_registry_leaves_no_connection_open(cluster):
    with warnings.catch_warnings(record=True, action="always") as told:
        Registry(cluster).subjects()
        gc.collect()

    assert [one.message for one in told if one.category is ResourceWarning] == []
