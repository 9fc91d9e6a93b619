"""Where the stack keeps things: one cache for all projects, one data folder for each stack."""

from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder of downloads: `DRIFTLINE_CACHE`, or `driftline` in the user's cache folder.

    >>> cache_folder({"HOME": "/home/ada"})
    PosixPath('/home/ada/.cache/driftline')
    """
    return _chosen(environ, "DRIFTLINE_CACHE", "XDG_CACHE_HOME", ".cache")


def data_folder(environ: Mapping[str, str]) -> Path:
    """The folder of servers' data and logs: `DRIFTLINE_DATA`, or `driftline` in the user's state folder.

    >>> data_folder({"HOME": "/home/ada", "DRIFTLINE_DATA": "/srv/fleet"})
    PosixPath('/srv/fleet')
    """
    return _chosen(environ, "DRIFTLINE_DATA", "XDG_STATE_HOME", ".local/state")


def _chosen(environ: Mapping[str, str], ours: str, base: str, fallback: str) -> Path:
    if environ.get(ours):
        return Path(environ[ours]).expanduser().absolute()
    # The XDG specification has relative paths ignored.
    if environ.get(base, "").startswith("/"):
        return Path(environ[base]) / "driftline"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return home / fallback / "driftline"
