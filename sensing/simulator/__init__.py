"""Three simulated fleets with scripted faults, every fault labelled, everything repeatable from a seed."""

from sensing.simulator.device import Simulated, SimulatedReadings, label_vectors
from sensing.simulator.faults import Fault, FaultKind, bit_of, kinds_in
from sensing.simulator.scripts import scripted_faults
from sensing.simulator.worlds import WORLDS

__all__ = [
    "WORLDS",
    "Fault",
    "FaultKind",
    "Simulated",
    "SimulatedReadings",
    "bit_of",
    "kinds_in",
    "label_vectors",
    "scripted_faults",
]
