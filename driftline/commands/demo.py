"""`driftline demo`: the loop, closed once, in front of your eyes."""

import tempfile
import time
from pathlib import Path

import click

__all__ = ["demo"]


@click.command(epilog="Example: driftline demo")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep keys, bundles and logs here; must be new."
)
def demo(folder: Path | None) -> None:
    """Start a stack, a fleet and all workers; let the world change; see it noticed and answered."""
    from driftline.demo import tell
    from driftline.stack import Stack

    begun_s = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begun_s:5.1f} s] {text}")

    with tempfile.TemporaryDirectory(prefix="driftline-demo-") as temporary:
        story = tell(Stack.start, folder or Path(temporary) / "demo", say)
        say(f"the loop is closed: {story.sent} records sent by the gateways, {story.lost} lost")
    say("everything is stopped again")
