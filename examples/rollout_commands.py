"""What devices are told to run, live; needs only `pip install driftline`, and DRIFTLINE_BOOTSTRAP or a local stack."""

from driftline import feeds

for event in feeds.rollout_events():
    match event:
        case feeds.Changed(topic="rollouts.commands", key=device, value=command):
            print(f"{device} shall run {command.model_id} (revision {command.revision})", flush=True)
        case feeds.CaughtUp(topic="rollouts.commands"):
            print("that is how it stands; from here on it is live", flush=True)
