"""What holds for every route of the API."""

import inspect

import pytest
from fastapi.routing import APIRoute

from console.api import ROUTERS

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)[0]} {route.path}")
def test_no_request_waits_for_another_thread(route):
    calls = [route.endpoint, *(one.call for one in route.dependant.dependencies)]

    assert [call for call in calls if not inspect.iscoroutinefunction(call)] == []
