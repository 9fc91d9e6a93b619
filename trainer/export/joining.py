"""Putting graphs together, out of what others made and of steps written in ONNX's text form."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, compose, numpy_helper, parser

from trainer.export.opset import IR_VERSION, OPSET

__all__ = ["chain", "plain", "written"]

_HEAD = f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET[""]}, "ai.onnx.ml": {OPSET["ai.onnx.ml"]}]>'


def written(text: str, constants: Mapping[str, Any] | None = None) -> ModelProto:
    """Return the graph that `text` describes; arrays keep their type, plain numbers become float32."""
    graph = parser.parse_model(_HEAD + text)
    used = {name for node in graph.graph.node for name in node.input}
    for name in sorted(used & set(constants or {})):
        graph.graph.initializer.append(numpy_helper.from_array(_array((constants or {})[name]), name))
    return graph


def chain(first: ModelProto, *rest: tuple[ModelProto, Mapping[str, str]]) -> ModelProto:
    """Join graphs one behind the other; each mapping says which outputs so far are which inputs of the next."""
    whole = first
    for graph, joints in rest:
        loose = [output.name for output in whole.graph.output if output.name not in joints]
        whole = compose.merge_models(
            whole, graph, io_map=list(joints.items()), outputs=[*loose, *(output.name for output in graph.graph.output)]
        )
    return plain(whole)


def plain(graph: ModelProto) -> ModelProto:
    """Take off what says when and by which tool a graph was made, and write it in our versions."""
    graph.ir_version = IR_VERSION
    graph.producer_name, graph.producer_version, graph.domain, graph.doc_string = "driftline", "", "", ""
    graph.model_version = 0
    del graph.opset_import[:]
    graph.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in OPSET.items())
    graph.graph.name = "driftline"
    return graph


def _array(value: Any) -> NDArray[Any]:
    return value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.float32)
