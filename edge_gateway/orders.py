"""From a command to an order: verified first, then understood; what is neither is refused in words."""

from dataclasses import dataclass, replace
from typing import Any

from edge_gateway.config import WatchConfig
from edge_gateway.errors import GatewayError
from edge_gateway.events import LATER, Order
from edge_gateway.maintenance import Window
from schemas.rollouts import Command
from trust import Keyring, WrongDeviceError, open_record

__all__ = ["Terms", "order_of", "terms_of"]

_LIMITS = {
    "bake_s": float,
    "error_rate": float,
    "latency_ms": float,
    "memory": float,
    "degradation": float,
    "bake_windows": int,
    "bake_decisions": int,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How an order is to be carried out, as its settings say it."""

    watch: WatchConfig
    # The installed model scores live readings beside the active one for so long before it serves.
    shadow_s: float = 0.0
    maintenance: Window | None = None


def order_of(command: Command, keyring: Keyring, *, device_id: str) -> Order:
    """Return what the device is told to do; raises `TrustError` or `GatewayError` for what it must not obey."""
    signed = open_record(command, keyring)
    if signed.device_id != device_id:
        raise WrongDeviceError(found=signed.device_id, wanted=device_id)
    return Order(
        revision=signed.revision,
        rollout_id=signed.rollout_id,
        model_id=signed.model_id,
        sha256=signed.bundle_sha256,
        size=signed.bundle_bytes,
        url=signed.bundle_url,
        settings=dict(signed.settings),
    )


def terms_of(order: Order, watch: WatchConfig, maintenance: str) -> Terms:
    """Read an order's settings; what it does not say is as the gateway has it, what is unknown is left alone."""
    changes: dict[str, Any] = {
        name: _number(order, name, convert) for name, convert in _LIMITS.items() if name in order.settings
    }
    if order.settings.get("activate", LATER) != LATER:
        raise GatewayError(
            f"settings of revision {order.revision}: activate is {order.settings['activate']!r}; "
            f"wanted: {LATER!r}, or nothing"
        )
    shadow_s = _number(order, "shadow_s", float) if "shadow_s" in order.settings else 0.0
    wanted = order.settings.get("maintenance", maintenance)
    try:
        window = Window.parse(wanted) if wanted else None
        return Terms(replace(watch, **changes), shadow_s, window)
    except ValueError as error:
        raise GatewayError(f"settings of revision {order.revision}: {error}") from error


def _number(order: Order, name: str, convert: type[float] | type[int]) -> float:
    try:
        return convert(order.settings[name])
    except ValueError:
        raise GatewayError(
            f"settings of revision {order.revision}: {name} is {order.settings[name]!r}; wanted: a number"
        ) from None
