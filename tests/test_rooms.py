"""The rooms know of each other only what the table says, so that a gateway installs without the workers."""

import tomllib
from pathlib import Path

import pytest
from importing import imports

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "schemas": set(),
    "sensing": {"schemas"},
    "trust": {"schemas"},
    "streams": {"schemas", "sensing", "trust"},
    "edge_gateway": {"schemas", "sensing", "trust"},
    "trainer": {"schemas", "sensing", "trust"},
    "console": {"schemas", "trust"},
    "driftline": {"schemas", "sensing", "trust", "streams", "edge_gateway", "trainer", "console"},
}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_it_may(room):
    allowed = MAY_IMPORT[room] | {room}

    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, name in imports(path)
        if name.partition(".")[0] in MAY_IMPORT.keys() - allowed
    ]

    assert wrong == []


def test_every_room_is_packaged():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(packaged["packages"]) == set(MAY_IMPORT)
