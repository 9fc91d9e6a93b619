"""Routes about the fleet, over real Kafka and Redis."""

import console_fleet as made
import pytest
from patience import eventually

from schemas.fleet import DeviceState


def has(client, path, **params):
    answer = client.get(path, params=params)
    return answer.json() if answer.status_code == 200 else None


def test_a_device_is_listed_with_its_verdict_and_found_by_label(console, viewer, name):
    console.publish("fleet.devices", [made.device(name, labels={"line": name})])
    console.publish("drift.scores", [made.scores(name, {"temperature": 0.4, "pressure": 0.01})])

    def listed():
        items = viewer.get("/devices", params={"label": f"line={name}"}).json()["items"]
        return items if items and items[0]["verdict"] == "drift" else None

    (row,) = eventually(listed)

    assert (row["device_id"], row["drifting"], row["worst_psi"]) == (name, ["temperature"], 0.4)


@pytest.mark.parametrize(
    ("method", "path", "status", "detail", "allowed"),
    [
        pytest.param("GET", "/nowhere", 404, "there is nothing at /nowhere", None, id="no such page"),
        pytest.param("PUT", "/devices", 405, "/devices takes GET, HEAD, not PUT", "GET, HEAD", id="one route"),
        pytest.param(
            "DELETE",
            "/policies/x",
            405,
            "/policies/x takes GET, HEAD, PUT, not DELETE",
            "GET, HEAD, PUT",
            id="two routes",
        ),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(viewer, method, path, status, detail, allowed):
    answer = viewer.request(method, path)

    assert (answer.status_code, answer.json()["detail"], answer.headers.get("allow")) == (status, detail, allowed)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_head_is_what_a_get_would_answer_without_its_body(viewer):
    asked, told = viewer.get("/policies"), viewer.head("/policies")

    assert (told.status_code, told.content) == (200, b"")
    for name in ("etag", "content-length", "content-type"):
        assert told.headers[name] == asked.headers[name]
    assert viewer.head("/events").status_code == 405


def test_pages_hold_everything_once_even_when_devices_join_meanwhile(console, viewer, name):
    console.publish("fleet.devices", [made.device(f"{name}-{i}", labels={"line": name}) for i in range(5)])
    eventually(lambda: viewer.get("/devices", params={"label": f"line={name}"}).json()["total"] == 5)

    first = viewer.get("/devices", params={"label": f"line={name}", "limit": 2}).json()
    console.publish("fleet.devices", [made.device(f"{name}-00", labels={"line": name})])
    eventually(lambda: viewer.get("/devices", params={"label": f"line={name}"}).json()["total"] == 6)
    found, cursor = [row["device_id"] for row in first["items"]], first["next"]
    while cursor:
        page = viewer.get("/devices", params={"label": f"line={name}", "limit": 2, "cursor": cursor}).json()
        found += [row["device_id"] for row in page["items"]]
        cursor = page["next"]

    # The newcomer belongs on the page that was read already.
    assert found == [f"{name}-{i}" for i in range(5)]


def test_a_forgotten_device_leaves_the_list(console, viewer, name):
    console.publish("fleet.devices", [made.device(name)])
    eventually(lambda: viewer.get("/devices", params={"q": name}).json()["total"] == 1)

    console.forget("fleet.devices", name)

    eventually(lambda: viewer.get("/devices", params={"q": name}).json()["total"] == 0)
    assert viewer.get(f"/devices/{name}").status_code == 404


def test_a_window_is_shown_beside_its_baseline_bin_by_bin(console, viewer, name):
    base = made.baseline()
    console.publish("models.grids", [made.GRID])
    console.publish("models.baselines", [base])
    console.publish("drift.scores", [made.scores(name, {"temperature": 0.4}, baseline_id=base.baseline_id)])
    console.publish("telemetry.feature-stats", [made.window(name, [10, 10, 20, 60])])

    def compared():
        found = has(viewer, f"/devices/{name}/distributions")
        return found if found and found["features"][0]["reference"] else None

    temperature = eventually(compared)["features"][0]

    assert temperature == {
        "name": "temperature",
        "bins": ["≤ 10", "10 – 20", "20 – 30", "> 30"],
        "live": [0.1, 0.1, 0.2, 0.6],
        "reference": [0.25, 0.25, 0.25, 0.25],
    }


def test_scores_are_a_line_over_time_oldest_first(console, viewer, name):
    times = [made.now_ms() - 60_000 * i for i in (2, 1, 3)]
    console.publish("drift.scores", [made.scores(name, {"temperature": 0.1}, at_ms=at) for at in times])

    def three():
        points = (has(viewer, f"/devices/{name}/scores") or {}).get("points", [])
        return points if len(points) == 3 else None

    points = eventually(three)

    assert [point["at_ms"] for point in points] == sorted(times)


def test_latest_features_of_several_devices_are_one_read(console, viewer, name):
    console.publish("models.grids", [made.GRID])
    console.publish("telemetry.feature-stats", [made.window(name, [1, 1, 1, 1])])
    eventually(lambda: has(viewer, f"/devices/{name}/features"))

    items = viewer.get("/features", params={"device": [name, "nobody"]}).json()["items"]

    assert items[name]["mean"]["temperature"] == 21.5
    assert items["nobody"] is None


def test_the_map_is_one_line_a_group_and_the_worst_first(console, viewer, name):
    console.publish(
        "fleet.devices",
        [made.device(f"{name}-{i}", labels={"line": name, "hall": "a" if i < 3 else "b"}) for i in range(5)],
    )
    console.publish("drift.scores", [made.scores(f"{name}-{i}", {"pressure": 0.1 * i}) for i in range(5)])

    def mapped():
        found = viewer.get("/fleet/heatmap", params={"by": "hall", "label": f"line={name}"}).json()
        return found if [line["drifting"] for line in found["lines"]] == [2, 1] else None

    found = eventually(mapped)

    assert found["features"] == ["pressure"]
    assert [(line["name"], line["devices"], line["cells"][0]) for line in found["lines"]] == [
        ("b", 2, {"psi": 0.4, "drifting": 2}),
        ("a", 3, {"psi": 0.2, "drifting": 1}),
    ]


def test_stats_count_the_fleet(console, viewer, name):
    before = viewer.get("/stats").json()["by_state"].get("revoked", 0)
    console.publish("fleet.devices", [made.device(name, state=DeviceState.REVOKED)])

    eventually(lambda: viewer.get("/stats").json()["by_state"].get("revoked", 0) == before + 1)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        pytest.param("/devices/nobody", 404, "no-device", id="an unknown device"),
        pytest.param("/devices?limit=0", 422, "not-understood", id="an impossible limit"),
        pytest.param("/devices?cursor=!!", 422, "bad-cursor", id="a cursor that is none"),
        pytest.param("/devices?sort=drift&cursor=ImEi", 422, "bad-cursor", id="another list's cursor"),
        pytest.param("/devices?label=x", 422, "not-understood", id="a label without a value"),
        pytest.param("/nowhere", 404, "no-such-page", id="an unknown route"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_says_why(viewer, path, status, kind):
    answer = viewer.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:driftline:problem:{kind}"
    assert answer.json()["detail"]


def test_who_has_an_answer_already_is_told_so_in_nothing(console, viewer, name):
    console.publish("fleet.devices", [made.device(name)])
    eventually(lambda: has(viewer, f"/devices/{name}"))
    tag = viewer.get(f"/devices/{name}").headers["etag"]

    again = viewer.get(f"/devices/{name}", headers={"If-None-Match": tag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
