"""The page: what was learned from, how good it is, and what became of it on the way into the bundle."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from schemas.grid import FeatureBaseline, FeatureGrid, FeatureKind
from schemas.manifest import ModelKind
from sensing import Binner
from trainer.check import Check
from trainer.data.dataset import Dataset
from trainer.export.parity import OnnxModel
from trainer.release import Trained
from trainer.report.plots import bars, shares

__all__ = ["refusal_page", "training_page"]

_SCORE_BINS = 40


def training_page(trained: Trained) -> str:
    """Return the page of a training that came to a bundle."""
    bundle = trained.bundle
    return _page(
        f"{trained.order.model_id}, trained on {bundle.manifest.pipeline}",
        (
            _section("What it is", _facts(_what_it_is(trained))),
            _section("Checks of the data", _checks(trained.checks)),
            _section("Quality on held-out data", _facts(_figures(trained.quality)) + _scores(trained)),
            _section("Distributions", _LEGEND + _distributions(trained)),
            _section("Export", _facts(_export(trained))),
        ),
    )


def refusal_page(title: str, checks: Sequence[Check], refusal: str) -> str:
    """Return the page of data that nothing should be learned from."""
    return _page(title, (_section("Refused", f"<p>{escape(refusal)}</p>"), _section("Checks", _checks(checks))))


def _what_it_is(trained: Trained) -> dict[str, str]:
    manifest, split = trained.bundle.manifest, trained.split
    return {
        "algorithm": manifest.algorithm,
        "learned from": _told(split.training),
        "judged on": _told(split.holdout),
        "left out": ", ".join(trained.left_out) or "no device",
        "data's fingerprint": manifest.trained_on,
        "bundle": trained.bundle.sha256,
        "baseline": manifest.baseline_id,
        "grid": manifest.grid_id,
        "made with": ", ".join(f"{name} {version}" for name, version in sorted(manifest.made_with.items())),
        "licence": manifest.licence or "not stated",
    }


def _told(data: Dataset) -> str:
    known = int(data.labelled.sum())
    return f"{len(data)} vectors of {len(np.unique(data.device))} devices, {known} of them labelled"


def _figures(quality: Mapping[str, float]) -> dict[str, str]:
    return {name.replace("_", " "): f"{value:.4g}" for name, value in quality.items()}


def _export(trained: Trained) -> dict[str, str]:
    parity, timing, bundle = trained.parity, trained.timing, trained.bundle
    return {
        "parity": f"over {parity.vectors} vectors at most {parity.score:.2g} apart in score, {parity.confidence:.2g} "
        f"in confidence; {parity.changed_decisions} decisions changed",
        "weights": trained.quantised,
        "bundle's size": f"{bundle.size:,} bytes",
        "graph's size": f"{len(bundle.model):,} bytes",
        "one inference, here": f"{timing.onnx_p50_ms:.3f} ms; p99 {timing.onnx_p99_ms:.3f} ms",
        "scikit-learn's": f"{timing.reference_p50_ms:.3f} ms, "
        f"{timing.reference_p50_ms / max(timing.onnx_p50_ms, 1e-9):.0f} times as long",
        "limits": f"{bundle.manifest.limits.latency_ms:g} ms, {bundle.manifest.limits.memory_bytes:,} bytes of memory",
    }


def _scores(trained: Trained) -> str:
    """Draw what the graph itself says of held-out vectors, healthy and anomalous."""
    holdout = trained.split.holdout
    if trained.model.kind is ModelKind.FORECAST or not len(holdout):
        return ""
    score = OnnxModel(trained.bundle.model).predict(holdout.matrix).score.astype(np.float64)
    edges = np.linspace(score.min(), max(score.max(), score.min() + 1e-9), _SCORE_BINS + 1)
    series = [
        (name, shares(np.histogram(score[rows], edges)[0]))
        for name, rows in (("healthy", holdout.healthy), ("anomalous", holdout.anomalous))
        if rows.any()
    ]
    mark = (trained.model.threshold - edges[0]) / (edges[-1] - edges[0])
    told = (f"{edges[0]:.3g}", f"{edges[-1]:.3g}")
    names = " ".join(f'<span class="key {name}"></span>{name}' for name, _ in series)
    drawn = bars(series, ticks=told, title="scores of held-out vectors", mark=float(mark))
    return f'<figure class="wide">{drawn}<figcaption>scores: {names}; the line is the threshold</figcaption></figure>'


def _distributions(trained: Trained) -> str:
    grid, baseline = trained.bundle.grid, trained.bundle.baseline
    held_out = Binner(grid).count(trained.split.holdout.reference.matrix)
    figures = [
        _distribution(declared, learned, held_out.counts[row].astype(np.float64))
        for row, (declared, learned) in enumerate(zip(grid.features, baseline.features, strict=True))
    ]
    return f'<div class="grid">{"".join(figures)}</div>'


def _distribution(declared: FeatureGrid, learned: FeatureBaseline, held_out: np.ndarray) -> str:
    bins = _bins(declared)
    series = [("training", shares(learned.counts[:bins])), ("held-out", shares(held_out[:bins]))]
    missing = learned.missing / max(sum(learned.counts) + learned.missing, 1)
    caption = f"{escape(declared.name)}: mean {learned.mean:.4g}, {missing:.1%} missing"
    drawn = bars(series, ticks=(f"{learned.min:.4g}", f"{learned.max:.4g}"), title=declared.name)
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _bins(declared: FeatureGrid) -> int:
    return len(declared.categories if declared.kind is FeatureKind.CATEGORICAL else declared.edges) + 1


def _checks(checks: Sequence[Check]) -> str:
    rows = "".join(
        f'<tr><td class="{"good" if check.passed else "bad"}">{"passed" if check.passed else "failed"}</td>'
        f"<th>{escape(check.name)}</th><td>{escape(check.finding)}</td></tr>"
        for check in checks
    )
    return f"<table>{rows}</table>"


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(told)}</td></tr>" for name, told in facts.items())
    return f"<table>{rows}</table>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _page(title: str, sections: Iterable[str]) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )


_LEGEND = (
    '<p>Shares per bin of the grid, whose bins hold equal shares of the first reference: <span class="key training">'
    '</span>learned from, <span class="key held-out"></span>held out.</p>'
)
_STYLE = (
    ":root{color-scheme:light dark;--a:#3b6fb6;--b:#d98324;--bad:#c0392b;--good:#2e8b57}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}"
    "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}th{font-weight:600;white-space:nowrap}"
    ".good{color:var(--good)}.bad{color:var(--bad);font-weight:600}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}"
    "figure{margin:0}figure.wide{max-width:40rem;margin-top:1rem}figcaption{font-size:.85rem}"
    "svg{width:100%;height:auto}svg text{font-size:9px;fill:currentColor}"
    ".training,.healthy{fill:var(--a);background:var(--a);fill-opacity:.65}"
    ".held-out,.anomalous{fill:var(--b);background:var(--b);fill-opacity:.55}"
    ".mark{stroke:var(--bad);stroke-width:1.5}"
    ".key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .6em}"
)
