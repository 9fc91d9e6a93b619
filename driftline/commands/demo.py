"""`driftline demo`: the loop, closed in front of your eyes."""

import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from schemas.errors import DriftlineError

__all__ = ["demo"]


@click.command(epilog="Example: driftline demo --fast")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep keys, bundles and logs here; must be new."
)
@click.option("--fast", is_flag=True, help="End when the story is told, instead of leaving it to look at.")
def demo(folder: Path | None, fast: bool) -> None:
    """Start a stack, thirty gateways and all workers; let the world change; see it noticed and answered."""
    from driftline.demo import tell
    from driftline.stack import Stack

    begun_s = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begun_s:5.1f} s] {text}")

    def pause(console: str) -> None:
        say(f"everything goes on; look at {console}, and end it with Ctrl-C")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            say("ending")

    watched = sys.stdout.isatty() and not fast
    place = folder or Path(tempfile.mkdtemp(prefix="driftline-demo-")) / "demo"
    keeps = folder is not None
    try:
        (place / "logs").mkdir(parents=True)
        logging.basicConfig(filename=place / "logs" / "gateways.log", format="%(asctime)s %(name)s %(message)s")
        story = tell(Stack.start, place, say, pause=pause if watched else lambda _console: None)
        say(f"the loop is closed: {story.sent} records sent by the gateways, {story.lost} lost")
    except DriftlineError:
        # Its hint says where the workers' words are.
        keeps = True
        raise
    finally:
        if not keeps:
            shutil.rmtree(place.parent, ignore_errors=True)
    say("everything is stopped again")
