"""What a module imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["imports"]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Tell the line and the whole name of each module that is imported, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
