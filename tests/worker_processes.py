"""Workers as processes of their own, to be killed at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from patience import PATIENCE_S, eventually

ROOT = Path(__file__).parent.parent


class WorkerProcesses:
    """Two workers of a kind that share the partitions; `trouble` kills one or the other, or lets it leave."""

    def __init__(self, cluster, kind, folder, *args):
        self._cluster, self._kind, self._folder, self._args = cluster, kind, folder, args
        self._running = {}

    def __enter__(self):
        for name in ("a", "b"):
            self.start(name)
        return self

    def __exit__(self, *_):
        for process in self._running.values():
            process.kill()
            process.wait()

    def start(self, name):
        where = ["--bootstrap", self._cluster.bootstrap, "--registry", self._cluster.registry_url]
        where += ["--prefix", self._cluster.prefix, "--instance-id", name]
        command = [sys.executable, "-m", "driftline", "worker", self._kind, *self._args, *where]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self._folder / f"{name}.log").open("ab") as words:
            self._running[name] = subprocess.Popen(command, env=environment, stdout=words, stderr=words)

    def trouble(self, times, *, seed):
        """Make trouble so many times, at random moments; returns how often each kind was made."""
        chance, made = random.Random(seed), {"kill": 0, "leave": 0}
        for _ in range(times):
            time.sleep(chance.uniform(0.2, 6.0))
            name, what = chance.choice("ab"), chance.choice(["kill", "kill", "leave"])
            process = self._running[name]
            process.send_signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
            process.wait(PATIENCE_S)
            made[what] += 1
            self.start(name)
        return made

    def first_end(self):
        """Wait until one ends by itself; returns its exit code and what it has said."""

        def ended():
            return [name for name, process in self._running.items() if process.poll() is not None]

        (name, *_) = eventually(ended, or_say=self.words)
        return self._running[name].returncode, (self._folder / f"{name}.log").read_text(errors="replace")

    def words(self):
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self._folder.glob("*.log")))
