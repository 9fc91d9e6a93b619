"""The cache of downloads, against a Maven repository on this machine that can misbehave."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest
from patience import PATIENCE_S, eventually

from driftline.stack.errors import ChecksumError, DownloadError
from driftline.stack.lock import Coordinate, Lock, PinnedFile, write_lock
from driftline.stack.store import provide

JAR = Coordinate("org.example", "broker", "1.0")
OTHER_JAR = Coordinate("org.example", "clients", "1.0")
ARCHIVE = Coordinate("org.example", "registry", "1.0", "all", "tar.gz")
RUNNER = PurePosixPath("quarkus-run.jar")


@dataclass
class Repository:
    """Serves `files`; the first transfers of a path may break off half way, and all may be slow."""

    files: dict[str, bytes]
    breaks: Counter[str] = field(default_factory=Counter)
    pause_s: float = 0.0
    served: Counter[str] = field(default_factory=Counter)
    address: dict[str, str] = field(default_factory=dict)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        if path not in self.files:
            handler.send_error(404)
            return
        content = self.files[path]
        self.served[path] += 1
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        half = len(content) // 2
        with suppress(ConnectionError):
            handler.wfile.write(content[:half])
            handler.wfile.flush()
            time.sleep(self.pause_s)
            if self.breaks[path] > 0:
                self.breaks[path] -= 1
                return
            handler.wfile.write(content[half:])


@pytest.fixture
def repository():
    files = {str(JAR.path): os.urandom(40_000), str(OTHER_JAR.path): os.urandom(9_000), str(ARCHIVE.path): _archive()}
    repository = Repository(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            repository.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    repository.address = {"test": f"http://127.0.0.1:{server.server_port}"}
    yield repository
    server.shutdown()
    server.server_close()


def test_what_is_missing_is_downloaded_once(repository, tmp_path):
    lock = _lock(repository)

    first = provide(lock, tmp_path, repositories=repository.address)
    again = provide(lock, tmp_path, repositories={"test": "http://127.0.0.1:1"})

    assert first == again
    assert [path.read_bytes() for path in first.kafka] == [_content(repository, JAR), _content(repository, OTHER_JAR)]
    assert (first.registry / RUNNER).read_bytes() == b"runs the registry"
    assert set(repository.served.values()) == {1}


def test_a_transfer_that_breaks_off_is_done_again(repository, tmp_path):
    repository.breaks[str(JAR.path)] = 2

    software = provide(_lock(repository), tmp_path, repositories=repository.address)

    assert software.kafka[0].read_bytes() == _content(repository, JAR)
    assert repository.served[str(JAR.path)] == 3


def test_a_transfer_that_keeps_breaking_off_leaves_nothing_half(repository, tmp_path):
    repository.breaks[str(JAR.path)] = 1_000

    with pytest.raises(DownloadError, match=r"org.example:broker:1.0 could not be downloaded in 3 attempts"):
        provide(_lock(repository), tmp_path, repositories=repository.address)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "download.lock"]


def test_a_download_that_was_killed_is_begun_again(repository, tmp_path):
    repository.pause_s = 60
    downloading = _provide_in_another_process(repository, tmp_path)
    eventually(lambda: any(path.is_file() for path in tmp_path.glob("arriving-*/**/*.jar")))
    downloading.send_signal(signal.SIGKILL)
    downloading.wait()
    assert list(tmp_path.glob("arriving-*"))
    repository.pause_s = 0

    software = provide(_lock(repository), tmp_path, repositories=repository.address)

    assert software.kafka[0].read_bytes() == _content(repository, JAR)
    assert not list(tmp_path.glob("arriving-*"))


def test_two_at_once_download_once(repository, tmp_path):
    repository.pause_s = 0.5

    both = [_provide_in_another_process(repository, tmp_path) for _ in range(2)]

    assert [one.wait(PATIENCE_S) for one in both] == [0, 0]
    assert set(repository.served.values()) == {1}


def test_a_download_that_is_another_file_is_refused_with_both_sums(repository, tmp_path):
    lock = _lock(repository)
    repository.files[str(JAR.path)] = b"something else" * 100

    with pytest.raises(ChecksumError) as refusal:
        provide(lock, tmp_path, repositories=repository.address)

    assert lock.kafka[JAR].sha256 in str(refusal.value)
    assert hashlib.sha256(b"something else" * 100).hexdigest() in str(refusal.value)
    assert not list(tmp_path.rglob("*.jar"))


@pytest.mark.parametrize("damaged", ["a jar of Kafka's", "a file of the registry's"])
def test_a_damaged_file_in_the_cache_is_refused_with_both_sums(repository, tmp_path, damaged):
    lock = _lock(repository)
    software = provide(lock, tmp_path, repositories=repository.address)
    kafka = damaged == "a jar of Kafka's"
    path = software.kafka[0] if kafka else software.registry / RUNNER
    pin = lock.kafka[JAR] if kafka else lock.registry_files[RUNNER]
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    stamps = path.stat()
    path.write_bytes(content)
    # Size and time tell nothing: it is read.
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))

    with pytest.raises(ChecksumError) as refusal:
        provide(lock, tmp_path, repositories=repository.address)

    assert str(refusal.value) == (
        f"{path} is not the file that the lock pins: SHA-256 should be {pin.sha256}, "
        f"is {hashlib.sha256(content).hexdigest()}; it was not run"
    )
    assert refusal.value.hint == f"remove {path if kafka else software.registry} to have it downloaded again"


def test_an_artifact_that_is_nowhere_is_named(repository, tmp_path):
    lock = _lock(repository)
    del repository.files[str(OTHER_JAR.path)]

    with pytest.raises(DownloadError, match=r"org.example:clients:1.0 is in none of the repositories http://127"):
        provide(lock, tmp_path, repositories=repository.address)


def _lock(repository: Repository) -> Lock:
    return Lock(
        kafka={JAR: _pin(_content(repository, JAR)), OTHER_JAR: _pin(_content(repository, OTHER_JAR))},
        registry=ARCHIVE,
        registry_archive=_pin(_content(repository, ARCHIVE)),
        registry_files={RUNNER: _pin(b"runs the registry")},
    )


def _content(repository: Repository, coordinate: Coordinate) -> bytes:
    return repository.files[str(coordinate.path)]


def _pin(content: bytes) -> PinnedFile:
    return PinnedFile(hashlib.sha256(content).hexdigest(), len(content))


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(str(RUNNER))
        member.size = len(b"runs the registry")
        archive.addfile(member, io.BytesIO(b"runs the registry"))
    return packed.getvalue()


def _provide_in_another_process(repository: Repository, cache: Path) -> subprocess.Popen[bytes]:
    lock = cache.parent / "lock.json"
    write_lock(_lock(repository), lock)
    code = (
        "import sys; from pathlib import Path; "
        "from driftline.stack.lock import read_lock; from driftline.stack.store import provide; "
        "provide(read_lock(Path(sys.argv[1])), Path(sys.argv[2]), repositories={'test': sys.argv[3]})"
    )
    return subprocess.Popen([sys.executable, "-c", code, lock, cache, repository.address["test"]])
