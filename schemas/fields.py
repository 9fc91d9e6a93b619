"""The types that record fields are declared with, where plain Python says too little.

An annotation carries what Avro needs beside the Python type; a bare string beside it documents the field:

>>> Annotated[Millis, "End of the window."].__metadata__
(Avro(type='long', logical='timestamp-millis', packed=''), 'End of the window.')
"""

from dataclasses import dataclass
from typing import Annotated

__all__ = ["Avro", "Count", "Float32", "Float32s", "Millis", "Uint32s", "Uuid"]


@dataclass(frozen=True, slots=True)
class Avro:
    """What an Avro schema says beyond the Python type."""

    type: str
    logical: str = ""
    # NumPy's name for the items of a flat little-endian array inside `bytes`.
    packed: str = ""


Count = Annotated[int, Avro("int")]
Float32 = Annotated[float, Avro("float")]
Millis = Annotated[int, Avro("long", logical="timestamp-millis")]
Uuid = Annotated[str, Avro("string", logical="uuid")]
Uint32s = Annotated[bytes, Avro("bytes", packed="<u4")]
Float32s = Annotated[bytes, Avro("bytes", packed="<f4")]
