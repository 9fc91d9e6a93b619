"""`driftline keys`: keys that sign bundles, commands and policies, and the keyring that devices pin."""

import json
import os
from pathlib import Path

import click

from driftline.groups import Group
from trust import (
    Keyring,
    Kind,
    admit,
    load_signer,
    make_key,
    open_manifest,
    pin,
    read_keyring,
    revoke,
    rotate,
    seal_keyring,
    succeed,
    write_keyring,
    write_whole,
)

__all__ = ["keys"]

_KINDS = [kind.name.lower() for kind in Kind]
_PATH = click.Path(path_type=Path, dir_okay=False)
_KEYRING = click.option("--keyring", type=_PATH, required=True, help="The pinned keyring.")
_KEY = click.option("--key", required=True, metavar="SOURCE", help="file:PATH, env:NAME or hsm:ID?label=TOKEN.")
_SIGN = click.option(
    "--sign", "signers", multiple=True, required=True, metavar="SOURCE", help="Who signs the new version; repeatable."
)
_OUT = click.option("--out", type=_PATH, required=True, help="Where the signed new version is written.")
_MAY = click.option(
    "--may-sign", "kinds", multiple=True, required=True, type=click.Choice(_KINDS), help="What it may sign; repeatable."
)


@click.group(
    cls=Group, epilog="Example: driftline keys make trainer.pem && driftline keys pin trainer --key file:trainer.pem …"
)
def keys() -> None:
    """Make keys, say whom devices trust, rotate and revoke."""


@keys.command(epilog="Example: driftline keys make /etc/driftline/trainer.pem")
@click.argument("path", type=_PATH)
def make(path: Path) -> None:
    """Make an Ed25519 key in PATH, readable by its owner alone."""
    click.echo(f"{path}: key {make_key(path).keyid}")


@keys.command(name="pin", epilog="Example: driftline keys pin trainer --key file:t.pem --may-sign manifest …")
@click.argument("name")
@_KEY
@_MAY
@_KEYRING
def pin_(name: str, key: str, kinds: tuple[str, ...], keyring: Path) -> None:
    """Trust a key in a keyring that no device has pinned yet; makes the keyring where there is none."""
    pinned = pin(name, load_signer(key, environ=os.environ).public_key, *_kinds(kinds))
    present = read_keyring(keyring).keys if keyring.exists() else ()
    write_keyring(keyring, Keyring(keys=(*present, pinned)))
    click.echo(f"{keyring}: {name} ({pinned.key_id:.12}) may sign {', '.join(kinds)}")


@keys.command(name="list", epilog="Example: driftline keys list --keyring keyring.json --json")
@_KEYRING
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(keyring: Path, as_json: bool) -> None:
    """Show who is trusted with what, and who no longer is."""
    ring = read_keyring(keyring)
    if as_json:
        click.echo(json.dumps(ring.as_fields(), indent=2))
        return
    click.echo(f"keyring version {ring.version}")
    for pinned in ring.keys:
        kinds = ", ".join(sorted(kind.name.lower() for kind in pinned.may_sign))
        click.echo(f"  {pinned.key_id:.12}  {pinned.name:<16} may sign {kinds}")
    for key_id, why in ring.revoked.items():
        click.echo(f"  {key_id:.12}  revoked: {why}")


@keys.command(name="admit", epilog="Example: driftline keys admit t2 --key file:t2.pem --may-sign manifest …")
@click.argument("name")
@_KEY
@_MAY
@_KEYRING
@_SIGN
@_OUT
def admit_(name: str, key: str, kinds: tuple[str, ...], keyring: Path, signers: tuple[str, ...], out: Path) -> None:
    """Trust one more key: the first half of a planned rotation."""
    new = pin(name, load_signer(key, environ=os.environ).public_key, *_kinds(kinds))
    _succeed(read_keyring(keyring), admit(read_keyring(keyring), new), keyring, signers, out)


@keys.command(name="rotate", epilog="Example: driftline keys rotate t1 t2 --key file:t2.pem --may-sign manifest …")
@click.argument("old")
@click.argument("new")
@_KEY
@_MAY
@click.option("--why", default="rotation", show_default=True, help="What devices say when they refuse the old key.")
@_KEYRING
@_SIGN
@_OUT
def rotate_(
    old: str,
    new: str,
    key: str,
    kinds: tuple[str, ...],
    why: str,
    keyring: Path,
    signers: tuple[str, ...],
    out: Path,
) -> None:
    """Put NEW in the place of OLD, which is revoked: what it signed is refused from then on."""
    pinned = pin(new, load_signer(key, environ=os.environ).public_key, *_kinds(kinds))
    _succeed(read_keyring(keyring), rotate(read_keyring(keyring), old, pinned, why=why), keyring, signers, out)


@keys.command(name="revoke", epilog="Example: driftline keys revoke trainer --why 'laptop stolen' …")
@click.argument("name")
@click.option("--why", required=True, help="What devices say when they refuse it.")
@_KEYRING
@_SIGN
@_OUT
def revoke_(name: str, why: str, keyring: Path, signers: tuple[str, ...], out: Path) -> None:
    """Trust a key no longer."""
    _succeed(read_keyring(keyring), revoke(read_keyring(keyring), name, why=why), keyring, signers, out)


@keys.command(epilog="Example: driftline keys update keyring-2.json --keyring /etc/driftline/keyring.json")
@click.argument("envelope", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_KEYRING
def update(envelope: Path, keyring: Path) -> None:
    """Take on the next version of a pinned keyring, if it follows from it."""
    successor = succeed(read_keyring(keyring), envelope.read_bytes())
    write_keyring(keyring, successor)
    click.echo(f"{keyring}: version {successor.version}")


@keys.command(epilog="Example: driftline keys verify manifest.dsse.json --keyring keyring.json")
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_KEYRING
def verify(manifest: Path, keyring: Path) -> None:
    """Say whether a signed manifest is trusted, and what it is of."""
    click.echo(f"trusted: {open_manifest(manifest.read_bytes(), read_keyring(keyring)).model_id}")


@keys.command(epilog="Example: driftline keys encrypt m9.bundle --to $(cat press-7.pub) --out for-press-7.bundle")
@click.argument("bundle", type=_PATH)
@click.option("--to", "recipients", multiple=True, required=True, metavar="KEY", help="A device's key; repeatable.")
@click.option("--out", type=_PATH, required=True, help="Where the encrypted bundle is written.")
def encrypt(bundle: Path, recipients: tuple[str, ...], out: Path) -> None:
    """Encrypt a bundle, so that only these devices can read it; each says its key by `driftline gateway key`."""
    import hashlib

    from trust.sealed import seal_for

    sealed = seal_for(bundle.read_bytes(), recipients)
    write_whole(out, sealed)
    click.echo(f"{out}: {len(sealed)} bytes, sha256 {hashlib.sha256(sealed).hexdigest()}")


def _succeed(present: Keyring, following: Keyring, path: Path, signers: tuple[str, ...], out: Path) -> None:
    """Sign the next version, check it as a device will, and only then take it on here."""
    envelope = seal_keyring(following, [load_signer(source, environ=os.environ) for source in signers])
    write_keyring(path, succeed(present, envelope))
    write_whole(out, envelope.encode())
    click.echo(f"{path}: version {following.version}; {out} takes it to devices")


def _kinds(names: tuple[str, ...]) -> tuple[Kind, ...]:
    return tuple(Kind[name.upper()] for name in names)
