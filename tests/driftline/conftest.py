"""What tests of the command share."""

from pathlib import Path

import pytest

from schemas.cluster import Cluster


@pytest.fixture
def in_a_folder_of_its_own(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, the environment naming the test's cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRIFTLINE_BOOTSTRAP", cluster.bootstrap)
    monkeypatch.setenv("DRIFTLINE_REGISTRY", cluster.registry_url)
    monkeypatch.setenv("DRIFTLINE_PREFIX", cluster.prefix)
    return tmp_path
