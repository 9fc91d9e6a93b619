"""What is being rolled out where, as state and then changes; goes on where it left off when it is started again."""

from pathlib import Path

from driftline import feeds

PLACE = Path("rollouts.position")

with feeds.read(
    "rollouts.status",
    resume=feeds.Position.from_json(PLACE.read_text()) if PLACE.exists() else None,
) as feed:
    for event in feed:
        match event:
            case feeds.Changed(key=rollout, value=status):
                done = status.devices.get("succeeded", 0)
                print(f"{rollout} {status.model_id} {status.phase.value} {done}: {status.reason}", flush=True)
            case feeds.Restarted(reason=reason):
                print(f"what was told before is void ({reason}); the whole state follows", flush=True)
            case feeds.CaughtUp():
                print("-- live", flush=True)
        # Kept once the event is dealt with: after a crash it comes again, and none is missed.
        PLACE.write_text(feed.position().to_json())
