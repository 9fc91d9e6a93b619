"""A worker compiles its loops before it joins its group, not in the midst of a run."""

import subprocess
import sys

# In a process of its own: other tests call them too.
LEFT = """
from numba.core.dispatcher import Dispatcher
from streams.drift import kernels
from streams.drift.warming import warm_up

warm_up()
loops = {name: loop for name, loop in vars(kernels).items() if isinstance(loop, Dispatcher)}
print(len(loops), *(name for name, loop in loops.items() if not loop.signatures))
"""


def test_no_loop_is_left_to_be_compiled():
    said = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True).stdout

    loops, *left = said.split()
    assert (int(loops) > 10, left) == (True, [])
