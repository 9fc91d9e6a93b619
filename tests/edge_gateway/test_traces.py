"""What a gateway makes of a command is told in the trace of that command."""

from edge_gateway.commands import Received
from schemas.tracing import span, stop_tracing


def test_every_step_of_a_command_is_told_in_its_trace_and_of_no_other(serving, foundry, receiver):
    gateway = serving()
    with span("issue a command") as trace:
        traced = foundry.command(foundry.bundle("2", threshold=6.5), 2)
    for received in (Received(traced, "", trace), Received(foundry.command(foundry.bundle("3"), 3), "")):
        gateway.gateway.inbox.put(received)
        gateway.tick(3)
        gateway.run(60)
    stop_tracing()

    (issued,) = receiver.named("issue a command")
    told = [one for one in receiver.named("carry out a command") if one.trace == issued.trace]
    phases = [one.about["phase"] for one in told]
    others = receiver.named("carry out a command")[-1]
    assert gateway.gateway.slots.installation.model_id == "demo/3"
    assert (phases[0], phases[-1]) == ("received", "succeeded")
    assert {(one.parent, one.about["device"]) for one in told} == {(issued.span, "press-7")}
    assert (others.parent, others.about["phase"]) == ("", "succeeded")
