import io
import tarfile

import pytest

from driftline.stack.archive import extract
from driftline.stack.errors import StackError


def _member(name, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd"
    member.size = 4 if kind == tarfile.REGTYPE else 0
    return member


def _pack(tmp_path, *members):
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"jars"))
    return tmp_path / "packed.tar.gz"


def test_files_and_folders_are_unpacked(tmp_path):
    packed = _pack(tmp_path, _member("./lib", tarfile.DIRTYPE), _member("./lib/a.jar"), _member("deep/er/b.jar"))

    extract(packed, tmp_path / "there")

    found = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert found == {"lib/a.jar", "deep/er/b.jar"}
    assert (tmp_path / "there/lib/a.jar").read_bytes() == b"jars"


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(_member("../outside.jar"), id="above"),
        pytest.param(_member("/tmp/outside.jar"), id="absolute"),  # noqa: S108 - it never gets there
        pytest.param(_member("link.jar", tarfile.SYMTYPE), id="link"),
        pytest.param(_member("pipe", tarfile.FIFOTYPE), id="pipe"),
    ],
)
def test_what_is_no_file_inside_is_refused_by_name(tmp_path, member):
    packed = _pack(tmp_path, member)

    with pytest.raises(StackError, match=r"packed\.tar\.gz holds .*wanted: files and folders inside of it"):
        extract(packed, tmp_path / "there")

    assert not (tmp_path / "outside.jar").exists()
