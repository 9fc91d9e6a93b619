"""The AsyncAPI document: current, valid, and complete."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from schemas.asyncapi import COMMITTED, document, rendered
from schemas.catalogue import CATALOGUE
from schemas.codec import codec_of

OFFICIAL = json.loads((Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.json").read_text())


def faults(found):
    return [
        f"{list(error.absolute_path)}: {error.message[:200]}" for error in Draft7Validator(OFFICIAL).iter_errors(found)
    ]


def test_the_committed_document_is_current():
    assert COMMITTED.read_text(encoding="utf-8") == rendered(), "renew it with `python -m schemas.asyncapi`"


def test_it_is_valid_by_the_official_schema():
    assert faults(document()) == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("asyncapi",), "2.6.0"),
        (("channels", "rollouts.acks", "bindings", "kafka", "partitions"), 0),
        (("channels", "rollouts.acks", "bindings", "kafka", "topicConfiguration", "cleanup.policy"), "delete"),
        (("operations", "rollouts.acks.send", "action"), "publish"),
        (("components", "messages", "rollouts.acks", "payload", "schemaFormat"), 3),
    ],
)
def test_the_official_schema_would_object(path, wrong):
    broken = document()
    place = broken
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = wrong

    assert faults(broken)


def test_every_topic_is_there_with_its_partitions_and_how_long_it_is_kept():
    channels = document()["channels"]

    assert set(channels) == set(CATALOGUE)
    for topic in CATALOGUE.values():
        kafka = channels[topic.name]["bindings"]["kafka"]
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["cleanup.policy"] == [topic.cleanup.value]
        if topic.retention_ms is not None:
            assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_ms


def test_every_reference_leads_somewhere():
    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = document()
    for reference in references(found):
        file, _, path = reference.partition("#")
        if file:
            assert (COMMITTED.parent / file).is_file(), reference
            continue
        place = found
        for name in path.strip("/").split("/"):
            place = place[name]


def test_a_payload_refers_to_the_schema_of_its_topics_record():
    for name, message in document()["components"]["messages"].items():
        file = COMMITTED.parent / message["payload"]["schema"]["$ref"]

        assert json.loads(file.read_text())["name"] == codec_of(CATALOGUE[name].record).schema["name"]
