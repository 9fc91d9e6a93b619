"""Who drifts, live: each alert as it begins to fire, with its evidence, and as it ends."""

from driftline import feeds

with feeds.read("drift.alerts") as feed:
    for event in feed:
        match event:
            case feeds.Changed(value=alert) if alert.state.value == "firing":
                scores = ", ".join(f"{name} {value:.2f}" for name, value in alert.evidence.scores.items())
                print(f"{alert.severity.value}: {alert.subject} {alert.feature} {alert.kind} ({scores})", flush=True)
            case feeds.Changed(value=alert) if alert.state.value == "resolved":
                print(f"over: {alert.subject} {alert.feature} {alert.kind}", flush=True)
