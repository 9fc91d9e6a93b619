"""The types that record fields are declared with, where plain Python says too little.

An annotation carries what Avro needs beside the Python type; a bare string beside it documents the field:

>>> Annotated[Float32, "What it saw."].__metadata__
(Avro(type='float', logical='', low=None, high=None, packed=''), 'What it saw.')
"""

from dataclasses import dataclass
from typing import Annotated

__all__ = ["Avro", "Count", "Float32", "Float32s", "Float64s", "Millis", "Total", "Uint32s", "Uuid"]

# The last millisecond of the year 9999, where most calendars of most languages end.
LAST_MS = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class Avro:
    """What an Avro schema says beyond the Python type, and the bounds that values are held to."""

    type: str
    logical: str = ""
    low: int | None = None
    high: int | None = None
    # NumPy's name for the items of a flat little-endian array inside `bytes`.
    packed: str = ""


Count = Annotated[int, Avro("int", low=0)]
Total = Annotated[int, Avro("long", low=0)]
Float32 = Annotated[float, Avro("float")]
Millis = Annotated[int, Avro("long", logical="timestamp-millis", low=0, high=LAST_MS)]
Uuid = Annotated[str, Avro("string", logical="uuid")]
Uint32s = Annotated[bytes, Avro("bytes", packed="<u4")]
Float32s = Annotated[bytes, Avro("bytes", packed="<f4")]
Float64s = Annotated[bytes, Avro("bytes", packed="<f8")]
