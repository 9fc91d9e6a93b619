"""From a trained model to one ONNX graph that takes raw features."""
