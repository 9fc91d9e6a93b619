"""From the options of `driftline worker bridge` to the settings of a bridge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftline.text_files import read_text_file
from driftline.typed_values import SettingError
from streams.bridge import BridgeSettings, HttpsDoorSettings, MqttDoorSettings

__all__ = ["bridge_settings"]


def bridge_settings(listen: str, cache_dir: Path, given: Mapping[str, Any]) -> BridgeSettings:
    """Return the settings; each door opens when it has what it needs, and half of that is an error."""
    return BridgeSettings(https=_https(listen, given), mqtt=_mqtt(given), cache_dir=cache_dir)


def _https(listen: str, given: Mapping[str, Any]) -> HttpsDoorSettings | None:
    needed = {name: given[name] for name in ("certificate", "key", "device_ca")}
    if not any(needed.values()):
        return None
    for name, value in needed.items():
        if value is None:
            raise SettingError(f"--{name.replace('_', '-')}", None, "a PEM file, as the HTTPS door needs all three")
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SettingError("--listen", listen, "HOST:PORT")
    return HttpsDoorSettings(**needed, revoked=given["revoked"], host=host.strip("[]"), port=int(port))


def _mqtt(given: Mapping[str, Any]) -> MqttDoorSettings | None:
    if not given["mqtt"]:
        return None
    password = given["mqtt_password_file"]
    return MqttDoorSettings(
        url=given["mqtt"],
        root=given["mqtt_root"],
        username=given["mqtt_username"],
        password=read_text_file(password).strip() if password else "",
        ca=given["mqtt_ca"],
        certificate=given["mqtt_certificate"],
        key=given["mqtt_key"],
    )
