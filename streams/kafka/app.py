"""A Faust app with the settings that a Driftline worker needs."""

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
from faust.types import AgentT
from mode import CrashingSupervisor
from yarl import URL

from streams.kafka.consumer import BulkTransport
from streams.kafka.quiet import throttle_aiokafka
from streams.kafka.security import credentials

__all__ = ["make_app"]

_LAST_COMMIT_S = 5.0


def make_app(
    name: str,
    bootstrap: str,
    *,
    instance_id: str = "",
    start_at: str = "earliest",
    commit_every_s: float = 1.0,
    session_timeout_s: float = 10.0,
    max_run_records: int = 2000,
    security: Mapping[str, str] | None = None,
    **settings: Any,
) -> faust.App:
    """Make the app of the consumer group `name` for bulk topics (`bulk_topic`, `accepted_runs`).

    `bootstrap` is a comma-separated list of host:port. Give each worker of a group an `instance_id` of its own that
    outlives its restarts: a worker that comes back within the session timeout then finds its partitions as it left
    them, and nobody else is disturbed. Without one every start is a rebalance, and a killed worker's partitions
    wait for that timeout. `start_at` ("earliest" or "latest") counts where the group has never committed anything.
    `security` is what `Cluster.security` holds.
    """
    throttle_aiokafka()
    brokers = [URL(f"kafka://{address.strip()}") for address in bootstrap.split(",")]
    app = _App(
        name,
        broker=brokers,
        broker_credentials=credentials(security or {}),
        consumer_group_instance_id=instance_id or None,
        consumer_auto_offset_reset=start_at,
        broker_commit_interval=commit_every_s,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 5,
        broker_max_poll_records=max_run_records,
        # A topic that does not exist yet is found within this time; Faust would not look again for five minutes.
        consumer_metadata_max_age_ms=15_000,
        # An exception in an agent ends the worker; going on would leave a run behind that nobody finishes.
        agent_supervisor=CrashingSupervisor,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        **settings,
    )
    app.transport = BulkTransport(brokers, app, client_settings={"bootstrap.servers": bootstrap, **(security or {})})
    return app


class _App(faust.App):
    _is_crashing = False

    async def crash(self, reason: BaseException) -> None:
        """Commit what is done, and end for the first reason: the consumer leaves its group once it hears of a crash."""
        if self._is_crashing:
            return
        self._is_crashing = True
        if not self.should_stop:
            consumer: Any = self.consumer
            try:
                await asyncio.wait_for(consumer.commit_and_end_transactions(), _LAST_COMMIT_S)
            except (TimeoutError, OSError, RuntimeError) as error:
                self.log.warning("what is done cannot be committed, and will be done again: %r", error)
        await super().crash(reason)

    def _create_directories(self) -> None:
        """Bulk apps keep no Tables, so they need no folder for them."""

    async def _on_agent_error(self, agent: AgentT[Any], exc: BaseException) -> None:
        # First of all what it was: the app, ending, may cancel the agent before it has said so itself.
        await self.crash(exc)
        await super()._on_agent_error(agent, exc)
