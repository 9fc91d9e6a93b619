"""Bundles: a model with everything that a device needs to run and judge it, in one content-addressed file.

The file is a ZIP archive: `manifest.dsse.json`, the signed manifest, and the files that it lists with their digests:
`model.onnx`, `grid.json`, `baseline.json`. The same content gives the same bytes: names in order, no times, no
owners. Reading verifies from the outside in: the archive's digest where one is promised, the manifest's signature,
each file's size and digest; only then is anything parsed.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.signer import Signer

from schemas.canonical import canonical_json, content_id_of_plain
from schemas.errors import SchemaError
from schemas.grid import Baseline, Grid
from schemas.manifest import FORMAT, BundleFile, Manifest
from schemas.record import as_plain, from_plain
from trust.envelope import MAX_ENVELOPE_BYTES, seal
from trust.errors import BundleError, DigestMismatchError
from trust.keyring import Keyring
from trust.kinds import Kind
from trust.records import read_signed

__all__ = ["MAX_BUNDLE_BYTES", "Bundle", "open_bundle", "open_manifest", "pack_bundle", "read_bundle"]

MAX_BUNDLE_BYTES = 256 * 1024**2

MANIFEST = "manifest.dsse.json"
MODEL = "model.onnx"
GRID = "grid.json"
BASELINE = "baseline.json"
_LISTED = (MODEL, GRID, BASELINE)
_NO_TIME = (1980, 1, 1, 0, 0, 0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, in memory."""

    sha256: str
    size: int
    envelope: str
    manifest: Manifest
    model: bytes
    grid: Grid
    baseline: Baseline


def pack_bundle(
    manifest: Manifest, *, model: bytes, grid: Grid, baseline: Baseline, signers: Sequence[Signer]
) -> bytes:
    """Return the bundle file; `files`, `grid_id` and `baseline_id` of the manifest are filled in."""
    contents = {
        MODEL: model,
        GRID: canonical_json(as_plain(grid)),
        BASELINE: canonical_json(as_plain(baseline)),
    }
    filled = replace(
        manifest,
        format=FORMAT,
        grid_id=grid.grid_id,
        baseline_id=baseline.baseline_id,
        files={name: BundleFile(sha256=_digest(content), bytes=len(content)) for name, content in contents.items()},
    )
    _check_together(filled, _parse(Grid, contents[GRID], GRID), _parse(Baseline, contents[BASELINE], BASELINE))
    envelope = seal(Kind.MANIFEST, as_plain(filled), signers)
    return _archive({MANIFEST: envelope.encode(), **contents})


def open_manifest(envelope: str | bytes, keyring: Keyring) -> Manifest:
    """Return the verified manifest, as a release or a bundle carries it."""
    manifest = read_signed(Manifest, Kind.MANIFEST, envelope, keyring)
    if manifest.format != FORMAT:
        raise BundleError(f"the bundle is of format {manifest.format!r}; this reads {FORMAT!r}")
    if set(manifest.files) != set(_LISTED):
        raise BundleError(f"the manifest lists {sorted(manifest.files)}; wanted {sorted(_LISTED)}")
    return manifest


def read_bundle(path: Path, keyring: Keyring, *, sha256: str | None = None) -> Bundle:
    """Return the bundle in this file, verified; `sha256` is what was promised, such as by a command."""
    try:
        size = path.stat().st_size
        if size > MAX_BUNDLE_BYTES:
            raise BundleError(f"{path} has {size} bytes; at most {MAX_BUNDLE_BYTES} are read")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}") from error
    return open_bundle(content, keyring, sha256=sha256)


def open_bundle(content: bytes, keyring: Keyring, *, sha256: str | None = None) -> Bundle:
    """Return the bundle, verified; `sha256` is what was promised, such as by a command."""
    found = _digest(content)
    if sha256 is not None and found != sha256:
        raise DigestMismatchError(what="the bundle", promised=sha256, found=found)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _open_archive(archive, keyring, sha256=found, size=len(content))
    # What a damaged archive can raise, from a cut-off directory to a broken stream or an odd compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise BundleError(f"not a bundle, or cut off: {error}") from error


def _open_archive(archive: zipfile.ZipFile, keyring: Keyring, *, sha256: str, size: int) -> Bundle:
    names = archive.namelist()
    if sorted(names) != sorted((MANIFEST, *_LISTED)):
        raise BundleError(f"the bundle holds {sorted(names)}; wanted {sorted((MANIFEST, *_LISTED))}")
    envelope = _read(archive, MANIFEST, at_most=MAX_ENVELOPE_BYTES)
    manifest = open_manifest(envelope, keyring)
    files = {name: _read_listed(archive, name, manifest.files[name]) for name in _LISTED}
    grid, baseline = _parse(Grid, files[GRID], GRID), _parse(Baseline, files[BASELINE], BASELINE)
    _check_together(manifest, grid, baseline)
    return Bundle(
        sha256=sha256,
        size=size,
        envelope=envelope.decode(),
        manifest=manifest,
        model=files[MODEL],
        grid=grid,
        baseline=baseline,
    )


def _read(archive: zipfile.ZipFile, name: str, *, at_most: int) -> bytes:
    # One byte more than allowed tells a longer file, whatever the directory claims and however well it packs.
    with archive.open(name) as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise BundleError(f"{name} has more than {at_most} bytes")
    return content


def _read_listed(archive: zipfile.ZipFile, name: str, listed: BundleFile) -> bytes:
    content = _read(archive, name, at_most=min(listed.bytes, MAX_BUNDLE_BYTES))
    if _digest(content) != listed.sha256:
        raise DigestMismatchError(what=name, promised=listed.sha256, found=_digest(content))
    return content


def _parse(cls: type[T], content: bytes, name: str) -> T:
    """Return the record that a file holds, if it is what its id says."""
    try:
        plain = json.loads(content)
        wanted = content_id_of_plain(cls, plain)
        record = from_plain(cls, plain)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, SchemaError) as error:
        raise BundleError(f"{name} is no {cls.__name__}: {error}") from error
    found = next(iter(as_plain(record).values()))
    if found != wanted:
        raise BundleError(f"the {cls.__name__.lower()}'s id is {found!r}; wanted {wanted!r}")
    return record


def _check_together(manifest: Manifest, grid: Grid, baseline: Baseline) -> None:
    """The parts of a bundle must be about the same thing."""
    names = tuple(feature.name for feature in grid.features)
    pairs: Mapping[str, tuple[Any, Any]] = {
        "the manifest's grid": (manifest.grid_id, grid.grid_id),
        "the manifest's baseline": (manifest.baseline_id, baseline.baseline_id),
        "the baseline's grid": (baseline.grid_id, grid.grid_id),
        "the baseline's model": (baseline.model_id, manifest.model_id),
        "the grid's pipeline": (grid.pipeline, manifest.pipeline),
        "the baseline's pipeline": (baseline.pipeline, manifest.pipeline),
        "the grid's features": (names, manifest.features),
        "the baseline's features": (tuple(feature.name for feature in baseline.features), manifest.features),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise BundleError(f"{what} is {found!r}; wanted {wanted!r}")


def _archive(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, date_time=_NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content, compresslevel=9)
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
