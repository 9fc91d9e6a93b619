"""One's own model: any ONNX graph that gives one number per vector, wrapped like the models trained here."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, compose, version_converter

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset, Floats, Vectors
from trainer.errors import TrainerError
from trainer.export.joining import chain, plain, written
from trainer.export.opset import OPSET
from trainer.models.base import Model, Settings
from trainer.models.filling import fill_values, telling_absences
from trainer.models.thresholds import choose_threshold

__all__ = ["ForeignAlgorithm"]

_FLOAT = "tensor(float)"


class ForeignAlgorithm:
    """Trains nothing: finds what fills holes and where normal ends, on the data that is given."""

    name = "foreign"
    kind = ModelKind.ANOMALY
    about = "an ONNX graph made elsewhere: one float input [N, features], one number per vector, higher is stranger"

    def __init__(self, graph: bytes, *, threshold: float | None = None) -> None:
        self._graph = graph
        self._threshold = threshold

    def train(self, training: Dataset, settings: Settings) -> Model:
        core = ForeignCore.of(self._graph, training.matrix.shape[1])
        fill = fill_values(training)
        raw = core.raw(np.where(np.isfinite(training.matrix), training.matrix, fill).astype(np.float32))
        if not np.isfinite(raw).all():
            raise TrainerError("the graph gives no number for some vectors; wanted a finite one for each")
        threshold = choose_threshold(training, raw, settings) if self._threshold is None else self._threshold
        return Model(
            algorithm=self.name,
            kind=self.kind,
            core=core,
            fill=fill,
            telling=telling_absences(training, false_alarms=settings.false_alarms),
            threshold=threshold,
            scale=float(raw.std()) or 1.0,
            ceiling=float(max(raw.max(), threshold + raw.std())),
        )


@dataclass(frozen=True, eq=False)
class ForeignCore:
    proto: ModelProto
    session: onnxruntime.InferenceSession
    output: str

    @classmethod
    def of(cls, graph: bytes, features: int) -> "ForeignCore":
        try:
            proto = onnx.load_model_from_string(graph)
            onnx.checker.check_model(proto)
            session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        # Either library raises classes of its own for the many ways in which bytes are no model.
        except Exception as error:
            raise TrainerError(f"not an ONNX model that runs here: {str(error).splitlines()[0]}") from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        width = inputs[0].shape[-1] if inputs and inputs[0].shape else None
        if len(inputs) != 1 or inputs[0].type != _FLOAT or (isinstance(width, int) and width != features):
            found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise TrainerError(f"the graph takes {found}; wanted one {_FLOAT} of [N, {features}]")
        numbers = [one.name for one in outputs if one.type == _FLOAT]
        chosen = "score" if "score" in numbers else numbers[0] if len(numbers) == 1 else ""
        if not chosen:
            found = ", ".join(f"{one.name} {one.type}" for one in outputs)
            raise TrainerError(f"the graph gives {found}; wanted one {_FLOAT}, or one that is called score")
        return cls(proto, session, chosen)

    def raw(self, prepared: Vectors) -> Floats:
        (numbers,) = self.session.run([self.output], {self.session.get_inputs()[0].name: prepared})
        if numbers.size != len(prepared):
            raise TrainerError(f"the graph gives {numbers.shape} for {len(prepared)} vectors; wanted one number each")
        flat: Floats = numbers.reshape(-1).astype(np.float64)
        return flat

    def graph(self, features: int) -> ModelProto:
        try:
            known = plain(version_converter.convert_version(self.proto, OPSET[""]))
        except Exception as error:
            raise TrainerError(
                f"the graph cannot be written in operator set {OPSET['']}: {str(error).splitlines()[0]}"
            ) from error
        others = [output for output in known.graph.output if output.name != self.output]
        for output in others:
            known.graph.output.remove(output)
        inner = compose.add_prefix(known, "foreign_")
        entry = inner.graph.input[0].name
        return chain(
            written(_ENTER.format(features=features)),
            (inner, {"entered": entry}),
            (written(_FLATTEN, {"rows": np.array([-1])}), {f"foreign_{self.output}": "numbers"}),
        )


_ENTER = """
enter (float[N, {features}] prepared) => (float[N, {features}] entered)
{{
    entered = Identity (prepared)
}}
"""

_FLATTEN = """
flatten (float[N, K] numbers) => (float[N] raw)
{
    raw = Reshape (numbers, rows)
}
"""
