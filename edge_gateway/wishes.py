"""What somebody at the device wants of its gateway: left as files, taken up by the gateway when it runs.

Whoever may write to the gateway's data folder may wish; a bundle must be signed all the same.
"""

import json
import logging
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_gateway.events import Accepted, Event, Order, RolledBackByHand, SafeModeOff, SafeModeOn
from trust import Bundle, write_whole

__all__ = ["Wish", "apply_wish", "collect", "leave", "pending"]

_log = logging.getLogger(__name__)

_FOLDER = "wishes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One thing to do; the fields of a bundle belong to `apply`."""

    what: str
    who: str
    model_id: str = ""
    sha256: str = ""
    size: int = 0
    url: str = ""

    def event(self, revision: int) -> Event:
        match self.what:
            case "rollback":
                return RolledBackByHand(f"rolled back by {self.who}")
            case "safe-mode on":
                return SafeModeOn()
            case "safe-mode off":
                return SafeModeOff()
            case "apply":
                order = Order(
                    revision=revision,
                    rollout_id="by hand",
                    model_id=self.model_id,
                    sha256=self.sha256,
                    size=self.size,
                    url=self.url,
                )
                return Accepted(order, by_hand=True)
        raise ValueError(f"unknown wish {self.what!r}")


def apply_wish(bundle: Bundle, path: Path, who: str) -> Wish:
    return Wish(
        what="apply",
        who=who,
        model_id=bundle.manifest.model_id,
        sha256=bundle.sha256,
        size=bundle.size,
        url=path.resolve().as_uri(),
    )


def leave(data: Path, wish: Wish) -> Path:
    """Leave a wish; returns its file, which is gone when the gateway has taken it up."""
    path = data / _FOLDER / f"{uuid.uuid4()}.json"
    write_whole(path, json.dumps(asdict(wish)).encode())
    return path


def pending(data: Path) -> int:
    return len(list((data / _FOLDER).glob("*.json")))


def collect(data: Path) -> list[Wish]:
    """Take up what was wished, in the order in which it was; a wish that is none is thrown away."""
    folder = data / _FOLDER
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            wish = Wish(**json.loads(path.read_bytes()))
            wish.event(0)
            found.append(wish)
        except (ValueError, TypeError) as error:
            _log.error("wish of no use: file=%s error=%s", path.name, error)
        path.unlink(missing_ok=True)
    return found
