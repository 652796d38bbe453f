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


def served(folder):
    """A tracker with an operator."""
    paths, token = folder / "wat.paths", folder / "token"
    paths.write_text("".join(f"crawl-data/{i}.warc.wat.gz\n" for i in range(200)))
    token.write_text(TOKEN)
    flags = ["--admin-token-file", str(token), "--password-calls"]
    return Tracker(folder, ["--wat-paths", paths], *flags)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    with served(tmp_path_factory.mktemp("openapi")) as tracker:
        yield tracker


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A tracker to which nobody says nonsense."""
    with served(tmp_path_factory.mktemp("openapi")) as tracker:
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


def worker(tracker, kind):
    """What a new worker of this type or stage says of itself; it holds a job."""
    joined = {"stage": kind} if kind.islower() else {"type": kind}
    answer = tracker.get("/api/new", nickname="ada", **joined).json()
    named = {"token": answer["token"], **({} if kind.islower() else joined)}
    assert tracker.post("/api/newJob", **named).ok
    return named, {"type": kind, "display_name": answer["display_name"]}


def body_of(kind, **more):
    """The body of a call of such a worker."""
    return lambda tracker: {"body": worker(tracker, kind)[0] | more}


def body(**fields):
    return lambda tracker: {"body": fields}


def query(**fields):
    return lambda tracker: {"query": fields}


def gpu(tracker):
    """A GPU worker needs what a CPU worker handed over."""
    fields = worker(tracker, "CPU")[0]
    assert tracker.post("/api/markAsDone", **fields, url="http://cpu/images.tar").ok
    return {"body": worker(tracker, "GPU")[0]}


def bringing(tracker):
    """A CPU worker that holds a job brings a file with its token."""
    fields = worker(tracker, "CPU")[0]
    return {
        "path_parameters": {"name": "images.tar"},
        "headers": {"Authorization": f"Bearer {fields['token']}"},
        "body": b"images",
    }


def bringing_with_key(tracker):
    """The same at the address that it was told."""
    fields = worker(tracker, "CPU")[0]
    address = tracker.get("/api/getUploadAddress", type="CPU", token=fields["token"]).text
    key = address.rstrip("/").rsplit("/", 1)[1]
    return {"path_parameters": {"key": key, "name": "images.tar"}, "body": b"images"}


def bringing_without_a_name(tracker):
    """The same, as most programs do it."""
    call = bringing_with_key(tracker)
    del call["path_parameters"]["name"]
    return call


def brought(tracker):
    call = bringing(tracker)
    url = f"{tracker.url}/staging/images.tar"
    answer = requests.put(url, headers=call["headers"], data=call["body"], timeout=30)
    return {"path_parameters": {"name": answer.text.rsplit("/", 1)[1]}}


def contributor(tracker):
    """Somebody who finished a job."""
    fields = worker(tracker, "HYBRID")[0]
    assert tracker.post("/api/markAsDone", **fields, count=1).ok
    return {"path_parameters": {"nickname": "ada"}}


def page_of_worker(tracker):
    return {"path_parameters": worker(tracker, "HYBRID")[1]}


def page_of_job(tracker):
    return {"path_parameters": {"number": 1}}


def backup(tracker):
    return {"query": {"replace": "true"}, "body": operator(tracker, "backup").content}


def banned(tracker):
    assert operator(tracker, "ban", nickname="mallory").ok
    return {"body": {"nickname": "mallory"}}


def operator(tracker, call, **fields):
    """An operator's call; without fields one that only looks."""
    method = "POST" if fields else "GET"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{tracker.url}/admin/{call}"
    return requests.request(method, url, json=fields or None, headers=headers, timeout=30)


# What makes a call that is carried out, where that needs more than the call alone.
SOUND = {
    ("post", "/api/validateWorker"): body_of("HYBRID"),
    ("post", "/api/newJob"): body_of("HYBRID"),
    ("post", "/api/updateProgress"): body_of("HYBRID", progress="1 / 2"),
    ("post", "/api/markAsDone"): body_of("HYBRID", count=7),
    ("post", "/api/gpuInvalidDownload"): gpu,
    ("post", "/api/completeJob"): body_of("a", data="done"),
    ("post", "/api/flagInvalidData"): body_of("a"),
    ("post", "/api/failJob"): body_of("HYBRID", message="no such file"),
    ("post", "/api/returnJob"): body_of("HYBRID"),
    ("post", "/api/bye"): body_of("HYBRID"),
    ("put", "/staging/{name}"): bringing,
    ("put", "/staging/{key}/{name}"): bringing_with_key,
    ("put", "/staging/{key}/"): bringing_without_a_name,
    ("get", "/staging/{name}"): brought,
    ("post", "/api/isCompleted"): body(addresses=["http://cpu/images.tar"]),
    ("post", "/custom/lookup-wat"): body(url="https://data.example.org/a.warc.wat.gz"),
    ("post", "/custom/markasdone-cpu"): body(shards=[300], urls={"300": "a"}, nickname="ada"),
    ("post", "/custom/markasdone"): body(password=TOKEN, shards=[301], count=7, nickname="ada"),
    ("get", "/worker/{type}/{display_name}/data"): page_of_worker,
    ("get", "/worker/{type}/{display_name}"): page_of_worker,
    ("get", "/contributor/{nickname}/data"): contributor,
    ("get", "/contributor/{nickname}"): contributor,
    ("get", "/job/{number}/data"): page_of_job,
    ("get", "/job/{number}"): page_of_job,
    ("post", "/admin/init"): body(stages=["CPU", "GPU"]),
    ("post", "/admin/reset-job"): body(number=302),
    ("post", "/admin/ban-job"): body(number=302),
    ("post", "/admin/requeue"): body(),
    ("post", "/admin/banner"): body(text="Back at noon"),
    ("post", "/admin/ban"): body(network="192.0.2.0/24", reason="spam"),
    ("post", "/admin/unban"): banned,
    ("post", "/admin/import"): lambda tracker: {
        "query": {"format": "wat-paths"},
        "body": b"crawl-data/new.warc.wat.gz",
    },
    ("post", "/admin/restore"): backup,
    ("get", "/admin/set-banner"): query(password=TOKEN, text="Back at noon"),
    ("post", "/admin/ban-shard"): body(password=TOKEN, count=303),
    ("post", "/admin/reset-shard"): body(password=TOKEN, count=303),
}


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_sound_call_is_carried_out_as_described(untouched, method, path):
    schema = schemathesis.openapi.from_dict(SPECIFICATION)
    schema.config.update(base_url=untouched.url)
    call = SOUND.get((method, path), query())(untouched)
    if "body" in call:
        [call["media_type"]] = SPECIFICATION["paths"][path][method]["requestBody"]["content"]
    if path.startswith("/admin/"):
        call["headers"] = {"Authorization": f"Bearer {TOKEN}"}
    made = 201 if method == "put" else 200
    case = schema[path][method.upper()].Case(**call)
    answer = case.call_and_validate(checks=CHECKS)
    assert answer.status_code == made, answer.text


def test_the_description_is_valid_openapi(tracker):
    described = requests.get(f"{tracker.url}/openapi.json", timeout=30).json()
    assert described["openapi"] == "3.1.0"
    version = tracker.get("/metrics").text
    assert f'version="{described["info"]["version"]}"' in version
