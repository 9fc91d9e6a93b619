"""The local API described: an OpenAPI document, and a page that shows it without asking anyone else."""

import html
import json
from typing import Any

__all__ = ["DOCS_PAGE", "OPENAPI"]

_VECTOR = {"type": "array", "items": {"type": ["number", "null"]}, "description": "One value a feature; null: missing."}
_PREDICTION = {
    "type": "object",
    "properties": {
        "score": {"type": ["number", "null"], "description": "Higher is stranger; null: nothing could be decided."},
        "anomaly": {"type": ["boolean", "null"]},
        "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    },
}


def _operation(summary: str, body: dict[str, Any] | None, answers: dict[str, str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {status: {"description": text} for status, text in answers.items()},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Driftline gateway", "version": "1"},
    "paths": {
        "/predict": {
            "post": _operation(
                "Ask the serving model about one feature vector, or about many.",
                {
                    "type": "object",
                    "required": ["features"],
                    "properties": {
                        "features": {
                            "oneOf": [
                                _VECTOR,
                                {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
                                {"type": "array", "items": _VECTOR},
                            ]
                        }
                    },
                },
                {"200": "The decision, or `predictions` for many.", "400": "Why not.", "503": "No model serves."},
            )
        },
        "/readings": {
            "post": _operation(
                "Push one reading or a list of them: `at_ms` or `timestamp`, `stream`, and a value for each channel.",
                {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
                {"202": "How many were taken.", "400": "None could be used.", "429": "No room now."},
            )
        },
        "/health": {"get": _operation("How the gateway fares.", None, {"200": "A model serves.", "503": "None does."})},
        "/metrics": {"get": _operation("Figures for Prometheus.", None, {"200": "Text exposition format."})},
    },
    "components": {"schemas": {"Prediction": _PREDICTION}},
}

DOCS_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Driftline gateway</title>"
    "<h1>Driftline gateway</h1><p>The same as <a href=openapi.json>openapi.json</a>.</p>"
    + "".join(
        f"<h2>{method.upper()} {path}</h2><p>{html.escape(operation['summary'])}</p>"
        for path, operations in OPENAPI["paths"].items()
        for method, operation in operations.items()
    )
    + f"<pre>{html.escape(json.dumps(OPENAPI, indent=2))}</pre>"
)
