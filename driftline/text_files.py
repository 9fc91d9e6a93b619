"""Text that people wrote into files: policies, plans, routes, passwords."""

from pathlib import Path

from schemas.errors import DriftlineError

__all__ = ["read_text_file"]


def read_text_file(path: Path) -> str:
    """Return the text of a UTF-8 file, without the mark that some editors put first.

    Whatever else it holds is refused by the file's name.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at {error.start}"
        raise DriftlineError(f"{path}: found {found}, wanted UTF-8 text") from None
    except OSError as error:
        raise DriftlineError(f"{path}: {error.strerror}") from None
