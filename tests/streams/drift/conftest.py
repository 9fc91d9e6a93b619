"""What the tests of drift share."""

import importlib.util
import sys
from pathlib import Path

# Tests are no packages; this is the one module of theirs that several of them use.
_spec = importlib.util.spec_from_file_location("drift_fleet", Path(__file__).with_name("fleet.py"))
sys.modules["drift_fleet"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["drift_fleet"])
