"""How to be known to a cluster: the settings of librdkafka that name credentials, and no others."""

from collections.abc import Mapping
from pathlib import Path

from driftline.typed_values import HIDDEN, Given, SettingError, UnknownSettingError

__all__ = ["security_settings"]

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_SECRETS = ("sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret")
_PLAIN = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
)
KNOWN = (*_PLAIN, *_SECRETS)


def security_settings(given: Mapping[str, Given]) -> dict[str, str]:
    """Check names and values; a secret may come from a file, as `sasl.password.file`."""
    settings = {}
    for name, value in given.items():
        setting = name.removesuffix(".file")
        if setting not in KNOWN or (setting != name and setting not in _SECRETS):
            known = (*KNOWN, *(f"{secret}.file" for secret in _SECRETS))
            raise UnknownSettingError(f"kafka.{name}", (f"kafka.{key}" for key in known), source=value.source)
        if not isinstance(value.value, str) or not value.value:
            found = HIDDEN if setting in _SECRETS else value.value
            raise SettingError(f"kafka.{name}", found, "a text", source=value.source)
        if setting in settings:
            raise SettingError(f"kafka.{setting}", HIDDEN, "one value, not one here and one in a file")
        settings[setting] = value.value if setting == name else _contents(name, value)
    _check_whole(settings, given)
    return settings


def _contents(name: str, value: Given) -> str:
    try:
        return Path(value.value).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise SettingError(
            f"kafka.{name}", value.value, f"a file that can be read ({reason})", source=value.source
        ) from None


def _check_whole(settings: dict[str, str], given: Mapping[str, Given]) -> None:
    protocol = settings.get("security.protocol")
    if protocol is not None:
        if protocol.upper() not in _PROTOCOLS:
            source = given["security.protocol"].source
            raise SettingError("kafka.security.protocol", protocol, "one of " + ", ".join(_PROTOCOLS), source=source)
        settings["security.protocol"] = protocol.upper()
    # A password for a connection that would not use it: somebody believes the connection to be safe.
    if (
        settings
        and not (protocol or "").upper().startswith("SASL")
        and any(key.startswith("sasl.") for key in settings)
    ):
        raise SettingError("kafka.security.protocol", protocol, "SASL_SSL or SASL_PLAINTEXT, as sasl.* is set")
    for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        if name in settings and not Path(settings[name]).expanduser().exists():
            source = given[name].source
            raise SettingError(f"kafka.{name}", settings[name], "a file that exists", source=source)
