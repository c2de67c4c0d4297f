"""The API's description, and the page that shows it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from apispec import APISpec
from openapi_spec_validator import validate

from imagefleet_web import problems
from imagefleet_web.keys import make
from imagefleet_web.openapi.document import routes
from imagefleet_web.openapi.schemas import About, Schemas
from imagefleet_web.problems import Kind
from web_tier import Web, World

# Routes that are no part of the API: the page's own files, and what only Prometheus reads.
APART = {"static", "metrics.metrics"}
# Kinds that are answered with before a view is found.
OF_NO_VIEW = {
    problems.METHOD_NOT_ALLOWED,
    problems.MALFORMED_REQUEST,
    problems.URI_TOO_LONG,
    problems.EXPECTATION_FAILED,
    problems.HEADERS_TOO_LARGE,
    problems.UNSUPPORTED_CODING,
}


@pytest.fixture
def guarded(world: World, tmp_path: Path) -> Web:
    """A web process that asks for keys."""
    keys = tmp_path / "keys.txt"
    keys.write_text(make("alice")[1])
    return Web(world, api_keys_file=str(keys))


def document(web: Web) -> Any:
    return web.get("/api/v1/openapi.json").json


def operations(document: Any) -> dict[str, Any]:
    """Return all operations by their ids."""
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_the_document_is_openapi_3_1(web: Web, guarded: Web) -> None:
    for each in (web, guarded):
        assert document(each)["openapi"].startswith("3.1.")
        validate(document(each))


def test_every_route_says_what_it_does(web: Web) -> None:
    described = {route.endpoint for route in routes(web.app) if route.operation}

    assert {route.endpoint for route in routes(web.app)} - described == APART
    told = operations(document(web))
    assert {endpoint.partition(".")[2] for endpoint in described} == told.keys()
    assert all(operation["summary"] for operation in told.values())


def test_every_kind_of_problem_is_one_that_some_route_says_it_has(web: Web) -> None:
    described = [route.operation for route in routes(web.app) if route.operation]
    said = {kind for operation in described for kind in operation.errors}

    kinds = {each for each in vars(problems).values() if isinstance(each, Kind)}
    of_all = {problems.INTERNAL, problems.UNAUTHORIZED, problems.CROSS_SITE}
    assert kinds - said - of_all == OF_NO_VIEW


def test_limits_are_those_of_the_settings(world: World) -> None:
    web = Web(world, max_files=7, max_wait_s=12.5, max_file_bytes=1_000_000)

    upload = operations(document(web))["upload"]

    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["maxItems"] == 7
    assert "1,000,000 bytes" in form["description"]
    (wait,) = [each for each in upload["parameters"] if each["name"] == "wait"]
    assert "12.5" in wait["description"]


def test_where_keys_are_needed_all_is_guarded_but_what_is_open(guarded: Web) -> None:
    # given no key, the description is told all the same
    told = document(guarded)

    assert told["security"] == [{"bearer": []}, {"header": []}]
    opened = {name for name, each in operations(told).items() if each.get("security") == []}
    assert opened == {"healthz", "readyz", "index", "openapi", "readable"}
    for name, operation in operations(told).items():
        assert ("401" in operation["responses"]) == (name not in opened)


def test_where_no_keys_are_needed_they_are_optional(web: Web) -> None:
    assert {} in document(web)["security"]


def test_an_event_is_described_with_its_data(web: Web) -> None:
    answer = operations(document(web))["batch_events"]["responses"]["200"]

    result, end = answer["content"]["text/event-stream"]["schema"]["anyOf"]
    assert result["properties"]["event"] == {"const": "result"}
    assert result["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Job"}
    assert end["properties"]["event"] == {"const": "end"}


def test_describing_makes_no_call_to_aws(web: Web, world: World) -> None:
    world.store.outage.begin()
    world.queues.outage.begin()

    assert web.get("/api/v1/openapi.json").status_code == 200
    assert web.get("/api/v1/docs").status_code == 200


class Leaf(TypedDict):
    """A leaf."""

    colour: Literal["green", "red"]


class Tree(TypedDict):
    """A tree,
    with leaves.
    """

    height: Annotated[float | None, About("In metres.", minimum=0)]
    leaves: list[Leaf]
    parent: NotRequired[Leaf | None]
    notes: dict[str, Any]


def test_a_type_becomes_its_schema_and_the_types_it_holds_become_components() -> None:
    components = APISpec("", "", "3.1.1").components

    schema = Schemas(components).of(Tree)

    assert schema == {"$ref": "#/components/schemas/Tree"}
    assert components.schemas["Leaf"]["properties"] == {
        "colour": {"type": "string", "enum": ["green", "red"]}
    }
    leaf = {"$ref": "#/components/schemas/Leaf"}
    assert components.schemas["Tree"] == {
        "type": "object",
        "description": "A tree,\nwith leaves.",
        "properties": {
            "height": {"type": ["number", "null"], "description": "In metres.", "minimum": 0},
            "leaves": {"type": "array", "items": leaf},
            "parent": {"anyOf": [leaf, {"type": "null"}]},
            "notes": {"type": "object", "additionalProperties": {}},
        },
        "required": ["height", "leaves", "notes"],
    }


def test_a_type_that_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        Schemas(APISpec("", "", "3.1.1").components).of(list[bytes])


def test_the_page_shows_every_call_and_every_object(web: Web) -> None:
    page = web.get("/api/v1/docs")

    assert page.mimetype == "text/html"
    told = document(web)
    for name in (*operations(told), *told["components"]["schemas"]):
        assert f'<article class="call" id="{name}"' in page.text
    for link in re.findall(r'href="#([^"]+)"', page.text):
        assert f'id="{link}"' in page.text


def test_the_page_needs_nothing_from_elsewhere_and_no_scripts(web: Web) -> None:
    page = web.get("/api/v1/docs").text

    assert "<script" not in page
    assert " style=" not in page
    for part in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert web.get(part).status_code == 200, part


def test_the_commands_on_the_page_carry_a_key_where_one_is_needed(guarded: Web) -> None:
    page = unescape(guarded.get("/api/v1/docs").text)

    key = '-H "Authorization: Bearer $KEY"'
    assert f"curl {key} -F file=@cat.jpg http://localhost/api/v1/upload" in page
    assert re.search(
        rf"curl {re.escape(key)} -X DELETE http://localhost/api/v1/batches/[-\w]+<", page
    )
    assert ">curl http://localhost/healthz<" in page


def test_what_the_page_is_told_of_the_request_is_only_text_there(web: Web) -> None:
    page = web.get("/api/v1/docs", headers={"Host": 'x"><b>y'})

    assert page.status_code == 400 or "<b>y" not in page.text
