"""What a graph takes and gives, read from the graph itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from schemas.manifest import Manifest, Port
from trainer.errors import ParityError, TrainerError
from trainer.export.parity import OnnxModel
from trainer.golden import golden_disagreement
from trust import Bundle

__all__ = ["check_bundle", "check_signature", "opset_of", "ports_of"]


def opset_of(graph: bytes) -> Mapping[str, int]:
    imports = onnx.load_model_from_string(graph).opset_import
    return {entry.domain or "ai.onnx": entry.version for entry in imports}


def ports_of(arguments: Sequence[Any]) -> tuple[Port, ...]:
    """Return inputs or outputs of an ONNX Runtime session; a named or unknown length is -1."""
    return tuple(
        Port(
            name=argument.name,
            type=argument.type,
            shape=tuple(size if isinstance(size, int) else -1 for size in argument.shape),
        )
        for argument in arguments
    )


def check_bundle(bundle: Bundle) -> None:
    """Refuse a bundle whose graph is another one than its manifest describes: every gateway would refuse it, too."""
    try:
        check_signature(bundle.manifest, bundle.model)
        differs = golden_disagreement(bundle.manifest.golden, OnnxModel(bundle.model))
    except TrainerError:
        raise
    # ONNX and its runtime raise classes of their own for the many ways in which bytes are no model.
    except Exception as error:
        raise ParityError(
            f"the graph of {bundle.manifest.model_id} does not run here: {str(error).splitlines()[0]}"
        ) from error
    if differs:
        raise ParityError(f"the graph of {bundle.manifest.model_id} is not what its manifest says: {differs}")


def check_signature(manifest: Manifest, graph: bytes) -> None:
    """Refuse a graph that takes or gives something else than its manifest says."""
    session = OnnxModel(graph).session
    for what, wanted, found in (
        ("inputs", manifest.inputs, ports_of(session.get_inputs())),
        ("outputs", manifest.outputs, ports_of(session.get_outputs())),
        ("operator sets", dict(manifest.opset), dict(opset_of(graph))),
    ):
        if wanted != found:
            raise ParityError(f"the graph's {what} are {found}; its manifest says {wanted}")
