"""Which of driftline's extras brings a package that is not installed."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["DISTRIBUTIONS", "extra_with", "required"]

_EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")
_NAME = re.compile(r"[\w.-]+")

# Packages that are imported by another name than they are installed by.
DISTRIBUTIONS = {
    "argon2": "argon2-cffi",
    "confluent_kafka": "confluent-kafka",
    "faust": "faust-streaming",
    "mode": "faust-streaming",
    "opentelemetry": "opentelemetry-sdk",
    "paho": "paho-mqtt",
    "pkcs11": "securesystemslib",
    "requests": "jgo",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "yaml": "pyyaml",
    "yarl": "faust-streaming",
}


def extra_with(module: str, *, preferred: str) -> str:
    """Return the extra whose packages `module` is among: the preferred one, if it has it, and "" if none has.

    >>> extra_with("river.drift", preferred="stack")
    'streams'
    """
    package = module.partition(".")[0]
    wanted = DISTRIBUTIONS.get(package, package.replace("_", "-")).lower()
    having = [extra for extra, name in required(_own_requirements()) if name == wanted and extra not in ("", "all")]
    return preferred if preferred in having or not having else having[0]


def required(requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Tell the extra, "" for none, and the name of each requirement of a distribution's metadata.

    >>> list(required(["rich<16", "redis<9,>=6; extra == 'streams'"]))
    [('', 'rich'), ('streams', 'redis')]
    """
    for requirement in requirements:
        name = _NAME.match(requirement)
        extra = _EXTRA.search(requirement)
        if name:
            yield extra[1] if extra else "", name[0].lower().replace("_", "-")


def _own_requirements() -> list[str]:
    try:
        return requires("driftline") or []
    except PackageNotFoundError:
        # Run from a folder of sources that was never installed.
        return []
