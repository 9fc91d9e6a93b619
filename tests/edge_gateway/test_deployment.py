"""What people deploy by: the documented settings are the code's, the unit and the image are as safe as they say."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_type_hints

import pytest

from edge_gateway import GatewayConfig

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy" / "systemd" / "driftline-gateway@.service"
IMAGE = ROOT / "docker" / "Dockerfile"


def settings_of(cls, section="gateway"):
    """Return every key with its default as it is written in TOML; empty for none, None for one that is wanted."""
    found = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            found |= settings_of(hints[field.name], f"{section}.{field.name}")
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[f"{section}.{field.name}"] = written(default)
    return found


def written(default):
    if default is dataclasses.MISSING:
        return None
    if default is None or default in ("", ()) or default == {}:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "[" + ", ".join(f'"{each}"' for each in default) + "]"
    return (
        f'"{default}"' if isinstance(default, str) else f"{default:g}" if isinstance(default, float) else str(default)
    )


def documented():
    section, found = "", {}
    for line in (ROOT / "docs" / "gateway.md").read_text().splitlines():
        if heading := re.fullmatch(r"### \[(.+)\]", line):
            section = heading.group(1)
        elif row := re.fullmatch(r"\| `(\w+)` \| (.*?) ?\| (.+) \|", line):
            key, default, meaning = row.groups()
            assert meaning.strip(), key
            found[f"{section}.{key}"] = None if default == "(wanted)" else default.strip("`")
    return found


def test_every_setting_is_documented_with_its_default():
    assert documented() == settings_of(GatewayConfig)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path):
    # The program is elsewhere on this machine.
    unit = tmp_path / "driftline-gateway@press-7.service"
    unit.write_text(UNIT.read_text().replace("/opt/driftline/bin/driftline", "/bin/true"))

    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)

    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr


def test_the_unit_sets_only_what_the_gateway_reads():
    settings = {f"DRIFTLINE_{key.upper().replace('.', '_')}" for key in settings_of(GatewayConfig)}
    known = settings | {"DRIFTLINE_CONFIG", "DRIFTLINE_DATA", "DRIFTLINE_CACHE"}

    for text in (UNIT.read_text(), IMAGE.read_text()):
        assert set(re.findall(r"(DRIFTLINE_[A-Z_]+)=", text)) <= known


def test_the_image_is_not_root_and_holds_no_secret():
    lines = IMAGE.read_text().splitlines()
    last_stage = lines[max(place for place, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER ")]

    assert users == ["10001"]
    assert not [line for line in last_stage if line.startswith(("ADD ", "EXPOSE "))]
    assert not re.search(r"(?im)^(ENV|ARG|COPY|ADD)\b.*(password|secret|token|\.pem)", IMAGE.read_text())
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
