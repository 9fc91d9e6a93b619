"""The AsyncAPI 3 document of all topics, rendered from the catalogue: `python -m schemas.asyncapi` renews it."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas.catalogue import CATALOGUE, Cleanup, Placement, Topic

__all__ = ["COMMITTED", "document", "rendered"]

COMMITTED = Path(__file__).parent.parent / "docs" / "asyncapi.json"

_BINDING = "0.5.0"
# What Driftline reads from others, beside what it writes itself.
_OPEN_TO_OTHERS = ("telemetry.labels", "operators.requests")


def document() -> dict[str, Any]:
    """Return the document; it refers to the `.avsc` files beside it."""
    topics = CATALOGUE.values()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Driftline",
            "version": version("driftline"),
            "description": (
                "Every topic of a Driftline fleet. Values are Avro in Confluent's framing (a zero byte, the schema's "
                "id as four bytes, big-endian, the body), keys are UTF-8 text, and the registry's subjects are named "
                "`<topic>-value`. Fleets that share a cluster put a prefix of their own before the names of topics. "
                "All topics stamp the broker's time; event time is in the records."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/vnd.apache.avro+binary",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The local stack, `driftline up`; `driftline status` shows its ports.",
                "bindings": {
                    "kafka": {
                        "schemaRegistryUrl": "http://127.0.0.1:8081/apis/ccompat/v7",
                        "schemaRegistryVendor": "apicurio",
                        "bindingVersion": _BINDING,
                    }
                },
            }
        },
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {name: operation for topic in topics for name, operation in _operations(topic).items()},
        "components": {"messages": {topic.name: _message(topic) for topic in topics}},
    }


def rendered() -> str:
    """Return the text of the committed file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "title": topic.name,
        "summary": topic.about,
        "description": f"{_kept(topic)} Written by: {topic.writer}.",
        "messages": {topic.record.__name__: {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {name: _typed(name, value) for name, value in topic.settings().items()},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(topic: Topic) -> dict[str, Any]:
    channel = {"$ref": f"#/channels/{topic.name}"}
    operations: dict[str, Any] = {f"{topic.name}.send": {"action": "send", "channel": channel, "summary": topic.about}}
    if topic.name in _OPEN_TO_OTHERS:
        operations[f"{topic.name}.receive"] = {
            "action": "receive",
            "channel": channel,
            "summary": f"{topic.about} Other services may write here.",
        }
    return operations


def _message(topic: Topic) -> dict[str, Any]:
    name = topic.record.__name__
    return {
        "name": name,
        "title": name,
        "summary": (topic.record.__doc__ or "").partition("\n")[0],
        "payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0",
            "schema": {"$ref": f"../schemas/avsc/{name}.avsc"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": _key(topic)},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                "bindingVersion": _BINDING,
            }
        },
    }


def _key(topic: Topic) -> str:
    fields = "/".join(topic.key)
    if topic.placement is Placement.SOURCE:
        return f"{fields}; the partition is that of the record it was made from."
    return f"{fields}; its murmur2 gives the partition."


def _kept(topic: Topic) -> str:
    if topic.cleanup is Cleanup.COMPACT:
        return "The latest record of each key is kept; a record without a value forgets the key."
    if topic.retention_ms is None:
        return "Records are kept for ever."
    return f"Records are kept for {topic.retention_ms / 86_400_000:g} days."


def _typed(name: str, value: str) -> Any:
    if name == "cleanup.policy":
        return value.split(",")
    try:
        return int(value)
    except ValueError:
        return value


if __name__ == "__main__":
    COMMITTED.write_text(rendered(), encoding="utf-8")
