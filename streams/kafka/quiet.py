"""Keeping a broker outage from filling the disk with one warning, a hundred thousand times over."""

import logging

__all__ = ["Throttle", "throttle_aiokafka"]


class Throttle(logging.Filter):
    """Let one record of a kind pass in `every_s` seconds, and say with the next how many were kept back.

    A kind is a message before its values are filled in.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._since: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg)
        since = self._since.get(kind)
        if since is not None and record.created - since < self._every_s:
            self._kept_back[kind] = self._kept_back.get(kind, 0) + 1
            return False
        self._since[kind] = record.created
        kept_back = self._kept_back.pop(kind, 0)
        if kept_back:
            record.msg, record.args = f"{record.getMessage()} (and {kept_back} like it before)", ()
        return True


def throttle_aiokafka(every_s: float = 10.0) -> None:
    """Throttle every logger that aiokafka has made so far; asking again changes nothing."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split(".")[0] == "aiokafka" and not any(isinstance(f, Throttle) for f in logger.filters):
            logger.addFilter(Throttle(every_s))
