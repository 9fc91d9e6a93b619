"""The way to the topics for devices that cannot reach Kafka: records up, and each device's own command down."""

from streams.bridge.errors import BridgeError, IdentityError
from streams.bridge.mqtt import MqttDoorSettings
from streams.bridge.service import Bridge, BridgeSettings, HttpsDoorSettings

__all__ = ["Bridge", "BridgeError", "BridgeSettings", "HttpsDoorSettings", "IdentityError", "MqttDoorSettings"]
