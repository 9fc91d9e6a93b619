"""Addresses as people write them, checked before anything connects; a ValueError says what was wanted."""

import re
from urllib.parse import unquote, urlsplit

__all__ = ["bootstrap_address", "http_url", "prefix_text", "redis_url", "split_credentials", "without_password"]

_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})")


def bootstrap_address(text: str) -> str:
    """Check brokers as host:port, one or several with commas between.

    >>> bootstrap_address("kafka-1:9092, kafka-2:9092")
    'kafka-1:9092,kafka-2:9092'
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        match = _HOST_AND_PORT.fullmatch(part)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise ValueError("host:port, or several of them with commas between")
    return ",".join(parts)


def http_url(text: str) -> str:
    """Check the address of a registry; a slash at its end is dropped."""
    if not _is_url(text, {"http", "https"}):
        raise ValueError("an address such as http://127.0.0.1:8081")
    return text.rstrip("/")


def redis_url(text: str) -> str:
    if not _is_url(text, {"redis", "rediss"}):
        raise ValueError("an address such as redis://127.0.0.1:6379/0")
    return text


def prefix_text(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", text):
        raise ValueError("at most 64 letters, digits, dots, dashes and underscores, as in names of topics")
    return text


def split_credentials(address: str) -> tuple[str, str]:
    """Part an address from the name and password in it, so that it may be told in logs and errors.

    >>> split_credentials("https://ada:hunter2@registry:8081")
    ('https://registry:8081', 'ada:hunter2')
    """
    parts = urlsplit(address)
    credentials, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl(), unquote(credentials)


def without_password(address: str) -> str:
    """Return the address as it may be printed.

    >>> without_password("redis://fleet:hunter2@127.0.0.1:6379/0")
    'redis://…@127.0.0.1:6379/0'
    """
    return re.sub(r"//.*@", "//…@", address)


def _is_url(text: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(text)
        # Asking for the port checks it.
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", text)
    except ValueError:
        return False
