"""Records as CloudEvents."""

import json

from hypothesis import given
from hypothesis import strategies as st
from record_strategies import records

from schemas.catalogue import CATALOGUE
from schemas.model_health import ModelHealth
from schemas.release import ModelRelease, ReleaseStage
from streams.webhooks.cloud_event import event_of


def event(record, key="bearings/2"):
    return event_of(
        record, topic="models.releases", full_name="p-models.releases", key=key, partition=3, offset=41,
        at_ms=1_700_000_000_123,
    )  # fmt: skip


RELEASE = ModelRelease(
    model="bearings", version="2", stage=ReleaseStage.STAGING, pipeline="p/1", grid_id="g", baseline_id="b",
    bundle_sha256="0" * 64, bundle_bytes=1, bundle_url="", manifest="", created_ms=0, created_by="test",
)  # fmt: skip


def test_in_structured_mode_the_body_is_the_whole_event():
    headers, body = event(RELEASE).rendered("structured")

    whole = json.loads(body)
    assert headers == {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert whole["data"]["stage"] == "staging"
    del whole["data"]
    assert whole == {
        "specversion": "1.0",
        "id": "p-models.releases/3/41",
        "source": "/driftline/p-models.releases",
        "type": "driftline.models.releases",
        "subject": "bearings/2",
        "time": "2023-11-14T22:13:20.123Z",
        "datacontenttype": "application/json",
    }


def test_in_binary_mode_the_body_is_the_data():
    headers, body = event(RELEASE, key="größe 7\r\nx: y").rendered("binary")

    assert json.loads(body)["model"] == "bearings"
    assert (headers["content-type"], headers["ce-id"]) == ("application/json", "p-models.releases/3/41")
    # Nothing in a key can end a header.
    assert headers["ce-subject"] == "gr%C3%B6%C3%9Fe%207%0D%0Ax:%20y"


def test_what_json_cannot_hold_is_null():
    window = ModelHealth(
        device_id="d", model_id="m/1", boot_id="00000000-0000-4000-8000-000000000000", seq=0, window_start_ms=0,
        window_end_ms=0, inferences=0, anomalies=0, errors=0, score_mean=float("nan"), score_m2=0.0,
        confidence_mean=0.0, latency_p50_ms=0.0, latency_p99_ms=0.0, cpu_share=float("nan"), memory_bytes=0,
    )  # fmt: skip

    data = json.loads(event(window).rendered("structured")[1])["data"]

    assert (data["score_mean"], data["cpu_share"], data["inferences"]) == (None, None, 0)


@given(data=st.data(), name=st.sampled_from(sorted(CATALOGUE)))
def test_every_record_of_every_topic_can_be_told(data, name):
    record = data.draw(records(CATALOGUE[name].record))

    for mode in ("structured", "binary"):
        _, body = event(record).rendered(mode)
        json.loads(body, parse_constant=lambda constant: (_ for _ in ()).throw(ValueError(constant)))
