"""The ONNX versions that bundles are written in: old enough for every ONNX Runtime of recent years."""

__all__ = ["IR_VERSION", "OPSET"]

IR_VERSION = 8
OPSET = {"": 17, "ai.onnx.ml": 3}
