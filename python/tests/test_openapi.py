"""Every call as the tracker describes it, with whatever schemathesis makes up for it."""

import json

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from conftest import REPOSITORY, Tracker

TOKEN = "0123456789abcdef0123456789abcdef"

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    paths, token = folder / "wat.paths", folder / "token"
    paths.write_text("".join(f"crawl-data/{i}.warc.wat.gz\n" for i in range(200)))
    token.write_text(TOKEN)
    flags = ["--admin-token-file", str(token), "--password-calls"]
    with Tracker(folder, ["--wat-paths", paths], *flags) as tracker:
        yield tracker


@pytest.fixture(scope="module")
def token(tracker):
    return tracker.get("/api/new", nickname="ada", type="HYBRID").json()["token"]


SPECIFICATION = json.loads((REPOSITORY / "crates/cah-tracker/web/openapi.json").read_text())

# It never ends, and has a test of its own.
ENDLESS = "/live"

CALLS = [
    (method, path)
    for path, methods in SPECIFICATION["paths"].items()
    for method in methods
    if path != ENDLESS
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_call_is_as_described(tracker, token, method, path):
    schema = schemathesis.openapi.from_dict(SPECIFICATION)
    schema.config.update(base_url=tracker.url)

    @settings(max_examples=25, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method.upper()].as_strategy())
    def call(case):
        # Half of the calls are made by somebody whom the tracker knows.
        if isinstance(case.body, dict) and "token" in case.body and len(str(case.body)) % 2:
            case.body["token"] = token
        if path.startswith("/admin/"):
            case.headers["Authorization"] = f"Bearer {TOKEN}"
        case.call_and_validate(checks=CHECKS)

    call()


def test_the_description_is_valid_openapi(tracker):
    described = requests.get(f"{tracker.url}/openapi.json", timeout=30).json()
    assert described["openapi"] == "3.1.0"
    version = tracker.get("/metrics").text
    assert f'version="{described["info"]["version"]}"' in version
