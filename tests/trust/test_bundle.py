"""A bundle is used whole, as it was signed, or not at all."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.canonical import with_content_id
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.manifest import Golden, Limits, Manifest, ModelKind, Port, Rule
from trust import (
    BundleError,
    DigestMismatchError,
    EnvelopeError,
    Keyring,
    Kind,
    RevokedKeyError,
    TrustError,
    UntrustedError,
    load_signer,
    make_key,
    open_bundle,
    open_manifest,
    pack_bundle,
    pin,
    read_bundle,
    read_keyring,
    revoke,
)

MODEL = b"stands for an ONNX graph; nothing here looks inside" * 20

GRID = with_content_id(
    Grid(
        grid_id="",
        pipeline="demo/1",
        bins=4,
        features=(FeatureGrid(name="heat", kind=FeatureKind.NUMERIC, edges=(1.0, 2.5)),),
    )
)
BASELINE = with_content_id(
    Baseline(
        baseline_id="",
        model_id="demo/7",
        grid_id=GRID.grid_id,
        pipeline="demo/1",
        samples=3,
        features=(
            FeatureBaseline(
                name="heat", counts=(1, 1, 1, 0), missing=0, out_of_range=0, mean=2.0, variance=1.0, min=1.0, max=3.0
            ),
        ),
    )
)
MANIFEST = Manifest(
    format="",
    model="demo",
    version="7",
    kind=ModelKind.ANOMALY,
    algorithm="isolation_forest",
    pipeline="demo/1",
    features=("heat",),
    grid_id="",
    baseline_id="",
    opset={"ai.onnx": 17},
    inputs=(Port(name="features", type="tensor(float)", shape=(-1, 1)),),
    outputs=(Port(name="score", type="tensor(float)", shape=(-1,)),),
    limits=Limits(latency_ms=5.0, memory_bytes=10_000_000),
    golden=Golden(
        inputs=((1.5,), (None,)), score=(0.25, 0.5), decision=(False, True), confidence=(0.5, 1.0), tolerance=1e-4
    ),
    rules=(Rule(feature="heat", low=-1.0),),
    files={},
)


class Packed:
    def __init__(self, folder):
        key = make_key(folder / "k.pem")
        self.signer = load_signer(f"file:{folder / 'k.pem'}", environ={})
        self.keyring = Keyring(keys=(pin("trainer", key, Kind.MANIFEST),))
        self.content = pack_bundle(MANIFEST, model=MODEL, grid=GRID, baseline=BASELINE, signers=[self.signer])


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return Packed(tmp_path_factory.mktemp("bundle"))


def repacked(content: bytes, **changes: bytes | None) -> bytes:
    """The same archive with some files changed, added or (None) left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        files: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
        for name, changed in {**files, **changes}.items():
            if changed is not None:
                new.writestr(name, changed)
    return buffer.getvalue()


def test_what_was_packed_is_read(packed, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(packed.content)

    bundle = read_bundle(tmp_path / "bundle.zip", packed.keyring)

    assert (bundle.model, bundle.grid, bundle.baseline) == (MODEL, GRID, BASELINE)
    assert bundle.manifest.model_id == "demo/7"
    assert bundle.manifest.golden == MANIFEST.golden
    assert bundle.size == len(packed.content)
    assert open_manifest(bundle.envelope, packed.keyring) == bundle.manifest


def test_equal_content_gives_equal_bytes(packed):
    again = pack_bundle(MANIFEST, model=MODEL, grid=GRID, baseline=BASELINE, signers=[packed.signer])

    assert again == packed.content


def test_another_bundle_than_the_promised_one_is_refused(packed):
    with pytest.raises(DigestMismatchError, match="promised was ababababab"):
        open_bundle(packed.content, packed.keyring, sha256="ab" * 32)


@pytest.mark.parametrize("name", ["model.onnx", "grid.json", "baseline.json"])
def test_a_changed_file_is_refused(packed, name):
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        original = archive.read(name)

    with pytest.raises(DigestMismatchError, match=name):
        open_bundle(repacked(packed.content, **{name: b"x" + original[1:]}), packed.keyring)


@pytest.mark.parametrize("name", ["model.onnx", "grid.json", "baseline.json", "manifest.dsse.json"])
def test_a_missing_file_is_refused_and_named(packed, name):
    with pytest.raises(BundleError, match=f"wanted .*{name}"):
        open_bundle(repacked(packed.content, **{name: None}), packed.keyring)


def test_a_file_nobody_signed_is_refused(packed):
    with pytest.raises(BundleError, match=r"evil\.so"):
        open_bundle(repacked(packed.content, **{"../evil.so": b"x"}), packed.keyring)


def test_a_file_longer_than_its_manifest_says_is_not_unpacked(packed):
    bomb = repacked(packed.content, **{"model.onnx": bytes(50 * 1024**2)})

    with pytest.raises(BundleError, match=r"model\.onnx has more than 1020 bytes"):
        open_bundle(bomb, packed.keyring)


def test_a_strangers_bundle_is_refused(packed, tmp_path):
    make_key(tmp_path / "other.pem")
    stranger = load_signer(f"file:{tmp_path / 'other.pem'}", environ={})

    with pytest.raises(UntrustedError):
        open_bundle(
            pack_bundle(MANIFEST, model=MODEL, grid=GRID, baseline=BASELINE, signers=[stranger]), packed.keyring
        )


def test_a_bundle_signed_with_a_revoked_key_is_refused(packed):
    with pytest.raises(RevokedKeyError, match="leaked"):
        open_bundle(packed.content, revoke(packed.keyring, "trainer", why="leaked"))


def test_an_unsigned_manifest_is_refused(packed):
    with pytest.raises(EnvelopeError):
        open_bundle(repacked(packed.content, **{"manifest.dsse.json": b"{}"}), packed.keyring)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"pipeline": "other/1"}, "the grid's pipeline", id="grid of another pipeline"),
        pytest.param({"version": "8"}, "the baseline's model", id="baseline of another model"),
        pytest.param({"features": ("cold",)}, "the grid's features", id="other features"),
    ],
)
def test_parts_that_do_not_belong_together_are_not_packed(packed, changes, message):
    with pytest.raises(BundleError, match=message):
        pack_bundle(replace(MANIFEST, **changes), model=MODEL, grid=GRID, baseline=BASELINE, signers=[packed.signer])


def test_a_baseline_altered_after_naming_is_not_packed(packed):
    with pytest.raises(BundleError, match="the baseline's id"):
        pack_bundle(MANIFEST, model=MODEL, grid=GRID, baseline=replace(BASELINE, samples=4), signers=[packed.signer])


@given(data=st.data())
def test_a_cut_off_bundle_is_refused_in_words(packed, data):
    length = data.draw(st.integers(0, len(packed.content) - 1))

    with pytest.raises(TrustError):
        open_bundle(packed.content[:length], packed.keyring)


@given(data=st.data())
def test_a_damaged_bundle_is_whole_or_refused(packed, data):
    at, bit = data.draw(st.integers(0, len(packed.content) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(packed.content)
    damaged[at] ^= 1 << bit

    # A flipped bit in a part of the archive that carries nothing leaves the bundle as it was signed.
    try:
        bundle = open_bundle(bytes(damaged), packed.keyring)
    except TrustError:
        return
    assert (bundle.manifest.model_id, bundle.model) == ("demo/7", MODEL)


def test_a_bundle_that_is_not_there_is_an_error_in_words(packed, tmp_path):
    with pytest.raises(BundleError, match="No such file"):
        read_bundle(tmp_path / "nothing.zip", packed.keyring)


def test_a_bundle_of_the_first_version_is_opened_although_records_have_grown_since():
    released = Path(__file__).parent / "released"
    bundle = read_bundle(released / "0.1.0.bundle", read_keyring(released / "0.1.0-keyring.json"))

    assert bundle.baseline.features[0].hour_counts == ()
    assert b"hour_counts" not in zipfile.ZipFile(released / "0.1.0.bundle").read("baseline.json")
