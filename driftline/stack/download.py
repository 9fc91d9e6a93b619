"""Fetching Maven artifacts into a folder; whether they are the right ones is for the caller to verify."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from driftline.stack.errors import DownloadError
from driftline.stack.lock import Coordinate
from driftline.stack.progress import Progress

__all__ = ["Repositories", "download"]

# Name to address; None is what jgo takes by itself, Maven Central.
Repositories = Mapping[str, str] | None
_AT_ONCE = 6
_ATTEMPTS = 3
_SILENCE_S = 30


def download(
    coordinates: Iterable[Coordinate], folder: Path, *, repositories: Repositories, progress: Progress
) -> None:
    """Fetch each artifact to `folder / coordinate.path`.

    A broken transfer is tried again, from its beginning. When one artifact cannot be had the others are
    given up as well, and `folder` holds whatever had arrived: use it only after this returns.
    """
    given_up = threading.Event()
    with progress, ThreadPoolExecutor(_AT_ONCE) as pool:
        fetches = [pool.submit(_fetch, c, folder, repositories, progress, given_up) for c in coordinates]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            given_up.set()
            pool.shutdown(cancel_futures=True)
            raise


class _GivenUp(Exception):  # noqa: N818 - nothing went wrong here; another fetch did
    pass


def _fetch(
    coordinate: Coordinate,
    folder: Path,
    repositories: Repositories,
    progress: Progress,
    given_up: threading.Event,
) -> None:
    # Imported late: only the first start on a machine downloads, and the import takes half a second.
    import requests
    from jgo.maven import MavenContext, PythonResolver

    arrived = 0

    def count(size: int) -> None:
        nonlocal arrived
        if given_up.is_set():
            raise _GivenUp
        arrived += size
        progress.advance(size)

    context = MavenContext(
        resolver=PythonResolver(progress_callback=_counting(count)),
        repo_cache=folder,
        local_repos=[],
        remote_repos=None if repositories is None else dict(repositories),
        timeout=_SILENCE_S,
    )
    artifact = (
        context.project(coordinate.group, coordinate.artifact)
        .at_version(coordinate.version)
        .artifact(coordinate.classifier, coordinate.packaging)
    )
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            artifact.resolve()
        except (requests.RequestException, OSError) as error:
            (folder / coordinate.path).unlink(missing_ok=True)
            progress.advance(-arrived)
            arrived = 0
            if attempt == _ATTEMPTS:
                raise DownloadError(
                    f"{coordinate} could not be downloaded in {_ATTEMPTS} attempts: {error}",
                    hint=_hint(error),
                ) from error
        except RuntimeError as error:
            raise DownloadError(
                f"{coordinate} is in none of the repositories {', '.join(context.remote_repos.values())}",
                hint="a proxy may be in the way; HTTPS_PROXY is honoured",
            ) from error
        else:
            return


def _hint(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "where a proxy inspects TLS, REQUESTS_CA_BUNDLE has to name a file with its certificates"
    return "check the network, then run the same command again"


def _counting(
    count: Callable[[int], None],
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    @contextmanager
    def transfer(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield count

    return transfer
