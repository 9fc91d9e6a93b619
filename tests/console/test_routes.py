"""What holds for every route of the API."""

import inspect

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from console.api import ROUTERS

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)[0]} {route.path}")
def test_no_request_waits_for_another_thread(route):
    calls = [route.endpoint, *(one.call for one in route.dependant.dependencies)]

    assert [call for call in calls if not inspect.iscoroutinefunction(call)] == []


@pytest.fixture(scope="module")
def described():
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    return app.openapi()


def test_every_example_is_what_it_is_an_example_of(described):
    schemas = described["components"]["schemas"]

    wrong = {
        name: error.message
        for name, schema in schemas.items()
        for example in schema.get("examples", ())
        for error in Draft202012Validator({**schema, "components": described["components"]}).iter_errors(example)
    }

    assert wrong == {}


def test_every_body_has_an_example(described):
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path in described["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    }

    assert [name for name in sorted(bodies) if not described["components"]["schemas"][name].get("examples")] == []
