"""What stands in docker/: read as those who run it will, and compared with the code."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from console.notify import Notifier, NotifyConfig, Route
from driftline.command import COMMANDS
from schemas.cluster import Cluster
from streams.drift.metrics import Metrics
from streams.webhooks import figures as webhooks

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
DASHBOARDS = sorted((DOCKER / "watching/grafana/dashboards").glob("*.json"))
_NAMED = re.compile(r'\b(Counter|Gauge|Histogram|Info|GaugeMetricFamily|CounterMetricFamily)\(\s*"(\w+)"')
NOWHERE = Cluster(bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")
_WORD = re.compile(r"[a-z][a-z0-9_]{3,}")
_SUFFIXES = {
    "Counter": ("_total",),
    "CounterMetricFamily": ("_total",),
    "Histogram": ("_bucket", "_sum", "_count"),
    "Info": ("_info",),
}
# What PromQL, labels and Prometheus itself bring.
_NO_METRICS = {
    "increase", "rate", "topk", "histogram_quantile", "feature", "severity", "outcome", "instance", "phase", "workers",
    "route", "status", "topic", "webhook",
}  # fmt: skip


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def metrics():
    """Every metric that some part of the code tells."""
    names = set()
    for room in ("streams", "edge_gateway", "trainer", "console"):
        for path in (ROOT / room).rglob("*.py"):
            for kind, name in _NAMED.findall(path.read_text()):
                base = name.removesuffix("_total")
                names |= {base + suffix for suffix in _SUFFIXES.get(kind, ("",))}
    return names


def expressions():
    for group in yaml.safe_load((DOCKER / "watching/prometheus/rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                # Grafana puts a time in its place.
                yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_rules_and_panels_ask_for_metrics_that_exist(title, expression):
    asked = set(_WORD.findall(re.sub(r'"[^"]*"', "", expression))) - _NO_METRICS

    assert asked <= metrics(), title


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_itself_finds_its_files_and_every_expression_in_order(tmp_path):
    rules = [{"record": f"panel_{number}", "expr": one} for number, (_, one) in enumerate(expressions())]
    (tmp_path / "all.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    config = DOCKER / "watching/prometheus/prometheus.yml"

    for said in (["config", config], ["rules", tmp_path / "all.yml"]):
        checked = subprocess.run(["promtool", "check", *said], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_says_what_it_shows_and_asks_the_source_that_is_chosen(path):
    dashboard = json.loads(path.read_text())

    assert [one["name"] for one in dashboard["templating"]["list"]] == ["datasource", "job", "instance"]
    for panel in dashboard["panels"]:
        title = panel["title"]
        assert panel["description"].endswith("."), title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title
        for target in panel["targets"]:
            assert 'job=~"$job", instance=~"$instance"' in target["expr"], title


@pytest.mark.skipif(shutil.which("dashboard-linter") is None, reason="Grafana's dashboard-linter is not installed")
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafanas_own_linter_finds_nothing(path):
    checked = subprocess.run(
        ["dashboard-linter", "lint", "--strict", path], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout


def test_counters_whose_first_increase_is_an_alarm_stand_at_nothing_from_the_start(tmp_path):
    route = Route(name="night", to=("json://127.0.0.1:1",))
    Notifier(NOWHERE, NotifyConfig(routes=(route,)))
    webhooks.begin("orders")
    registry = CollectorRegistry()
    Metrics(registry)

    assert REGISTRY.get_sample_value("driftline_notify_given_up_total", {"route": "night"}) == 0
    assert (
        REGISTRY.get_sample_value("driftline_webhook_attempts_total", {"webhook": "orders", "outcome": "given_up"}) == 0
    )
    assert registry.get_sample_value("driftline_drift_windows_total", {"outcome": "bad"}) == 0


def test_every_service_runs_a_command_that_exists_with_least_rights(services):
    for name, service in services.items():
        assert service["user"] == "10001", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if "command" in service:
            assert service["command"][0] in COMMANDS, name


def test_prometheus_asks_the_console_by_a_name_that_it_answers_to(services):
    scraped = yaml.safe_load((DOCKER / "watching/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [one for job in scraped for group in job["static_configs"] for one in group["targets"]]
    names = services["console"]["environment"]["DRIFTLINE_CONSOLE_HOSTS"].split(",")

    assert [one.rpartition(":")[0] in names for one in targets if one.endswith(":8000")] == [True]


def test_nothing_is_published_beyond_this_machine(services):
    watching = yaml.safe_load((DOCKER / "watching.yaml").read_text())["services"]
    published = [port for service in [*services.values(), *watching.values()] for port in service.get("ports", [])]

    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_container_has_a_password_that_is_known():
    text = "".join(path.read_text() for path in DOCKER.glob("*.yaml"))

    assert re.findall(r"(?i)password: *(.*)", text) == ["${GRAFANA_PASSWORD:?choose a password for Grafana}"]
