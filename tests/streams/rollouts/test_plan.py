import json

import pytest

from streams.rollouts.documents import PlanError, canonical, load_document
from streams.rollouts.gates import GATES
from streams.rollouts.plan import parse_plan
from streams.rollouts.strategies import STRATEGIES

TOML = """
rollout = "bearings-14"
model = "bearings/14"
cohort = 'region == "us-east"'
starts = 2026-11-21T20:00:00Z
[strategy]
kind = "canary"
percent = [1, 10, 100]
[limits]
bake_s = 60
deadline_s = 1000
[[stages]]
approval = true
[gates.anomaly_rate]
max_rise = 1.0
[[freeze]]
begins = 2026-12-24
ends = 2026-12-27
why = "holidays"
"""
YAML = """
rollout: bearings-14
model: bearings/14
cohort: 'region == "us-east"'
starts: 2026-11-21T20:00:00Z
strategy: {kind: canary, percent: [1, 10, 100]}
limits: {bake_s: 60, deadline_s: 1000}
stages: [{approval: true}]
gates: {anomaly_rate: {max_rise: 1.0}}
freeze: [{begins: 2026-12-24, ends: 2026-12-27, why: holidays}]
"""


def plan_of(**document):
    return parse_plan({"rollout": "r1", "model": "m/1", **document})


def test_the_same_plan_in_toml_yaml_and_json_is_the_same():
    toml = parse_plan(load_document(TOML, kind="toml"))
    yaml = parse_plan(load_document(YAML, kind="yaml"))
    json_plan = parse_plan(load_document(toml.document, kind="json"))

    assert toml == yaml == json_plan
    assert json.loads(toml.document)["model"] == "bearings/14"


def test_limits_are_every_stages_and_a_stage_may_differ():
    plan = parse_plan(load_document(TOML, kind="toml"))

    assert [stage.share for stage in plan.stages] == [0.01, 0.1, 1.0]
    assert [stage.approval for stage in plan.stages] == [True, False, False]
    assert {stage.bake_s for stage in plan.stages} == {60.0}
    assert plan.deadline_s == 1000
    assert plan.starts_ms == 1_795_291_200_000
    assert plan.freezes[0].begins_ms == 1_798_070_400_000


@pytest.mark.parametrize(
    ("said", "meant"),
    [(True, "02:00-04:00"), (False, ""), ("22:00-02:00 Europe/Vienna", "22:00-02:00 Europe/Vienna")],
)
def test_a_maintenance_window_is_the_usual_one_unless_it_is_named(said, meant):
    assert {stage.window for stage in plan_of(limits={"window": said}).stages} == {meant}
    assert plan_of(stages=[{"window": said}]).stages[0].window == meant


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"rollout": "a/b"}, "rollout: found 'a/b', wanted a name without '/'"),
        ({"rollout": 7}, "rollout: found 7, wanted a text"),
        ({"model": "bearings"}, "model: found 'bearings', wanted name/version"),
        ({"model": "m/1", "standing": True}, "model: found 'm/1', wanted a model's name alone"),
        ({"modle": "m/1"}, "modle: found a key that is not known, wanted perhaps 'model'"),
        ({"strategy": "cannary"}, "strategy: found 'cannary', wanted one of canary, rings"),
        ({"strategy": {"kind": "canary", "percent": [5, 1]}}, "strategy.percent: found [5.0, 1.0], wanted"),
        ({"strategy": {"kind": "canary", "percent": [1, 101]}}, "strategy.percent[1]: found 101.0, wanted 0 to 100"),
        ({"strategy": {"kind": "rolling", "batch": 0}}, "strategy.batch: found 0, wanted 1 or more"),
        ({"strategy": {"kind": "rings", "rings": [{"name": "lab"}]}}, "strategy.rings[0]: found 'lab', wanted either"),
        ({"limits": {"success_threshold": 1.5}}, "limits.success_threshold: found 1.5, wanted 0 to 1"),
        ({"limits": {"retries": True}}, "limits.retries: found True, wanted a whole number"),
        ({"limits": {"bake_s": "1h"}}, "limits.bake_s: found '1h', wanted a number"),
        ({"limits": {"bake_s": float("nan")}}, "limits.bake_s: found nan, wanted a number"),
        ({"limits": {"rate": {"factor": 2}}}, "limits.rate.base_per_minute: found nothing, wanted a value"),
        ({"limits": {"window": "2-4"}}, "window: found '2-4', wanted true, or device time as HH:MM-HH:MM"),
        ({"limits": {"window": "02:00-04:00 Mars/Base"}}, "window: found 02:00-04:00 Mars/Base, wanted true, or"),
        ({"limits": {"window": 7}}, "limits.window: found 7, wanted a text"),
        ({"stages": [{}] * 6}, "wanted a list of at most 5 tables"),
        ({"stages": [{"bakes": 1}]}, "stages[0].bakes: found a key that is not known, wanted perhaps 'bake_s'"),
        ({"gates": {"anomalies": {}}}, "gates.anomalies: found 'anomalies', wanted a gate's name, or `kind` as one of"),
        ({"gates": {"drift": {"max_share": 2}}}, "gates.drift.max_share: found 2.0, wanted 0 to 1"),
        ({"gates": {"x": {"kind": "metric"}}}, "gates.x.metric: found nothing, wanted a value"),
        ({"cohort": "hw:"}, "cohort: found cohort, column 4: found the end, wanted a value"),
        ({"cohort": [1, 2]}, "cohort: found [1, 2], wanted a list of device ids"),
        ({"cohort": 7}, "cohort: found 7, wanted an expression or a list of device ids"),
        ({"starts": "soon"}, "starts: found 'soon', wanted a time such as"),
        ({"freeze": [{"begins": "2026-01-02", "ends": "2026-01-01"}]}, "freeze[0].ends: found '2026-01-01', wanted a"),
        ({"quarantine": {"share": -1}}, "quarantine.share: found -1.0, wanted 0 to 1"),
        ({"quarantin": {}}, "quarantin: found a key that is not known, wanted perhaps 'quarantine'"),
        ({"rollout": "r7\u202e"}, "rollout: found 'r7\\u202e', wanted a name without '/', of 1 to 200 characters"),
        ({"rollout": " r7"}, "rollout: found  r7, wanted a name without '/', of 1 to 200 characters that can be seen"),
        ({"salt": "\ud800"}, "file: found '\\ud800', wanted valid Unicode"),
        ({"limits": {"timeout_s": 1e300}}, "limits.timeout_s: found 1e+300, wanted 1 to 1e+09"),
        ({"limits": {"backoff_s": -1}}, "limits.backoff_s: found -1.0, wanted 0 to 1e+09"),
        ({"limits": {"batch": 10**30}}, "limits.batch: found"),
        (
            {"strategy": {"kind": "canary", "percent": [0]}},
            "percent: found [0.0], wanted percentages that rise",
        ),
        ({"strategy": {"kind": "canary", "percent": [50, 50]}}, "wanted percentages that rise above 0"),
        ({"freeze": [{"begins": "2026-01-01", "ends": "2026-01-02", "why": []}]}, "freeze[0].why: found [], wanted a"),
        ({"on_failure": "explode"}, "on_failure: found 'explode', wanted one of rollback, pause"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(document, message):
    with pytest.raises(PlanError) as refused:
        plan_of(**document)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("rollout = ", "toml", "file: found"),
        ("a: [", "yaml", "wanted a readable yaml document"),
        ("{", "json", "wanted a readable json document"),
        ("[1]", "json", "wanted a table of keys"),
        ("a: !!python/object:os.system {}", "yaml", "wanted a readable yaml document"),
        ("a: &a [1, 1]\nb: [*a, *a]", "yaml", "line 2: the alias *a; aliases are not read"),
        ("rollout: a\nrollout: b", "yaml", "the key 'rollout' twice"),
        ('{"rollout": "a", "rollout": "b"}', "json", "the key 'rollout' twice"),
        ("? [a]\n: 1", "yaml", "wanted a readable yaml document"),
        ("[" * 100_000, "json", "wanted a readable json document"),
        ("[" * 10_000, "yaml", "wanted a readable yaml document"),
        ("x", "ini", "wanted one of toml, yaml, yml, json"),
    ],
)
def test_a_document_that_cannot_be_read_says_so(text, kind, message):
    with pytest.raises(PlanError, match="plan: file") as refused:
        load_document(text, kind=kind)

    assert message in str(refused.value)


def test_a_value_that_no_document_could_hold_is_refused():
    with pytest.raises(PlanError, match="wanted texts, numbers"):
        canonical({"a": object()})


@pytest.mark.parametrize("kind", STRATEGIES)
def test_every_strategy_reaches_everybody_by_default(kind):
    plan = plan_of(strategy=kind)

    assert plan.stages
    assert plan.stages[-1].share == 1.0
    assert all(stage.name for stage in plan.stages)


@pytest.mark.parametrize("kind", GATES)
def test_every_gate_says_no_data_when_there_is_none(kind):
    from streams.rollouts.gates import Evidence

    options = {"metric": "anomaly_rate"} if kind == "metric" else {}
    gate = plan_of(gates={kind: options}).gates[kind]

    assert gate.judge(kind, Evidence()).verdict.value == "no_data"
