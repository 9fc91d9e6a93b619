"""A disk that is full while a worker trains: the attempt fails in words, nothing half is seen, a later one does it."""

import os
import tempfile
from dataclasses import replace

from trainer.registry import open_store
from trainer.worker.process import Ahead


def test_a_store_without_room_fails_the_attempt_and_a_later_one_releases(with_data, full_disk):
    # Enough of them for whoever was started while there was no room.
    with_data.config = replace(with_data.config, max_attempts=5, backoff_s=0.5, algorithms={})
    with with_data.working():
        with_data.ask("r1")
        # The process that trains was there before; what it writes still finds room.
        with_data.wait_for("r1", "progressed")
        with full_disk():
            refused = with_data.wait_for("r1", "attempt_failed")
            assert with_data.releases() == {}
            assert leftovers(with_data.folder / "store") == []
        done = with_data.wait_for("r1", "finished", "failed")

    assert f"{with_data.folder}/store/bundles/" in refused.why
    assert refused.why.endswith("File too large; nothing of it was kept")
    assert done.action == "finished", done.why
    release = with_data.releases()["bearing/1"]
    assert open_store(with_data.config.store).sizes("bundles") == {
        f"bundles/{release.bundle_sha256}.bundle": release.bundle_bytes
    }
    assert leftovers(with_data.folder / "jobs") == []


def test_a_worker_that_cannot_keep_its_files_gives_up_in_words_and_goes_on_when_it_can(with_data):
    jobs = with_data.folder / "jobs"
    jobs.write_text("somebody else's file")
    with_data.config = replace(with_data.config, max_attempts=2)
    with with_data.working():
        with_data.ask("r1")
        given_up = with_data.wait_for("r1", "failed")
        jobs.unlink()
        with_data.ask("r2")
        with_data.wait_for("r2", "finished")

    assert given_up.why == "given up after 2 attempts"
    tried = [note.why for note in with_data.notes("r1") if note.action == "attempt_failed"]
    assert len(tried) == 2
    assert all(str(jobs) in why for why in tried)
    assert set(with_data.releases()) == {"bearing/1"}


def test_without_room_for_a_process_that_waits_none_waits(monkeypatch, caplog):
    ahead = Ahead(os.environ)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(tempfile, "tempdir", "/nowhere")
        ahead.prepare()

    assert "no process waits for the next training" in caplog.text
    spare = ahead.take()
    assert spare.alive
    spare.end()


def leftovers(folder) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]
