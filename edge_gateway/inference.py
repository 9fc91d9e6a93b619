"""Models, run by ONNX Runtime on few threads: feature vectors in, decisions out."""

import time
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_gateway.errors import InferenceError

__all__ = ["Decisions", "Model"]

_NOWHERE = "/dev/null/no-files"
_OUTPUTS = ("score", "decision", "confidence")


class Decisions(NamedTuple):
    """What was decided about each vector; where the score is not finite, nothing was."""

    score: NDArray[np.float32]
    anomaly: NDArray[np.bool_]
    confidence: NDArray[np.float32]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """The vectors about which nothing could be decided."""
        failed: NDArray[np.bool_] = ~np.isfinite(self.score)
        return failed

    def rows(self, chosen: slice | NDArray[np.int64]) -> "Decisions":
        return Decisions(self.score[chosen], self.anomaly[chosen], self.confidence[chosen])

    @classmethod
    def none(cls, rows: int) -> "Decisions":
        """No decision about any of the vectors."""
        nothing = np.full(rows, np.nan, dtype=np.float32)
        return cls(nothing, np.zeros(rows, dtype=bool), nothing.copy())


class Model:
    """One ONNX graph in memory: input `features` float32 [n, f]; outputs `score`, `decision`, `confidence` [n]."""

    def __init__(self, graph: bytes, *, features: int, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # An arena would keep the memory of the largest batch for ever; and no thread spins while it waits.
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A graph may name files for its weights; those beside us are nobody's, and no signature covers them.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
        options.log_severity_level = 4
        begun = time.perf_counter()
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        # ONNX Runtime's errors have no common ancestor but this one.
        except Exception as error:
            raise InferenceError(f"the model cannot be loaded: {_first_line(error)}") from error
        self.load_s = time.perf_counter() - begun
        self._features = features
        self._check_ports()

    def decide(self, matrix: NDArray[np.float32]) -> Decisions:
        """Decide about vectors, row by row."""
        if not len(matrix):
            return Decisions.none(0)
        try:
            outputs = self._session.run(_OUTPUTS, {"features": matrix})
        except Exception as error:
            raise InferenceError(f"the model failed on {matrix.shape}: {_first_line(error)}") from error
        score, decision, confidence = (np.asarray(output).reshape(-1) for output in outputs)
        if not len(score) == len(decision) == len(confidence) == len(matrix):
            raise InferenceError(f"the model gave {len(score)} scores for {len(matrix)} vectors")
        return Decisions(score.astype(np.float32), decision.astype(bool), confidence.astype(np.float32))

    def _check_ports(self) -> None:
        inputs = {port.name: port for port in self._session.get_inputs()}
        outputs = {port.name for port in self._session.get_outputs()}
        if set(inputs) != {"features"} or not outputs.issuperset(_OUTPUTS):
            raise InferenceError(
                f"the model has inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
                f"wanted ['features'] and {sorted(_OUTPUTS)}"
            )
        found = inputs["features"]
        if found.type != "tensor(float)" or len(found.shape) != 2 or found.shape[1] not in (self._features, None):
            raise InferenceError(
                f"the model's input is {found.type} {found.shape}; wanted tensor(float) [n, {self._features}]"
            )


def _first_line(error: Any) -> str:
    return str(error).strip().partition("\n")[0]
