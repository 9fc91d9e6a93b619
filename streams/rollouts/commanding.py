"""What a device is told: the command of a rollout, still unsigned."""

from schemas.release import ModelRelease
from schemas.rollouts import Command
from streams.rollouts.effects import CommandDevice
from streams.rollouts.rollout import Rollout

__all__ = ["command_of"]


def command_of(
    rollout: Rollout, effect: CommandDevice, release: ModelRelease | None, revision: int, now_ms: int
) -> Command:
    """Return what a device should run; without a release it can only be what it has in its other slot."""
    settings = {"bake_s": f"{rollout.plan.device_bake_s:g}"}
    if rollout.plan.device_shadow_s:
        settings["shadow_s"] = f"{rollout.plan.device_shadow_s:g}"
    # Whoever goes back does so at once.
    if rollout.here.window and effect.model == rollout.plan.model:
        settings["maintenance"] = rollout.here.window
    if effect.action == "install":
        settings["activate"] = "later"
    return Command(
        device_id=effect.device_id,
        revision=revision,
        rollout_id=rollout.plan.rollout_id,
        model_id=effect.model,
        bundle_sha256=release.bundle_sha256 if release else "",
        bundle_bytes=release.bundle_bytes if release else 0,
        bundle_url=release.bundle_url if release else "",
        issued_ms=now_ms,
        envelope="",
        settings=settings,
    )
