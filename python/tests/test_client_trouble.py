"""What its users suffered: trackers that are away, slow or no trackers, time-outs, Ctrl-C."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import crawlingathome as cah
import pytest
from conftest import Tracker
from odd_servers import say, server

PACKAGE = pathlib.Path(__file__).parents[1]
IMPATIENT = cah.Settings(connect_deadline=0, deadline=0)


def two_shards(tmp_path, *flags):
    """A tracker with the two shards of a WAT file."""
    paths = tmp_path / "wat.paths"
    paths.write_text("crawl-data/0.warc.wat.gz")
    return Tracker(tmp_path, ["--wat-paths", paths], *flags)


@pytest.fixture
def tracker(tmp_path):
    with two_shards(tmp_path) as tracker:
        yield tracker


def program(text, *arguments, **more):
    """A Python program of its own that has the package."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.Popen(command, env=environment, text=True, **more)


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("url", ["nonsense", "", "ftp://tracker.example.org", "http://"])
def test_an_address_that_is_none_is_a_value_error(url):
    with pytest.raises(ValueError, match="not the address of a tracker; give one such as"):
        cah.init(url)


def test_nobody_at_the_address():
    with pytest.raises(cah.ServerError, match="is it running, and is the address right"):
        cah.init("http://127.0.0.1:1", settings=IMPATIENT)


@pytest.mark.parametrize(
    "status, body, error, words",
    [
        (200, "<html><h1>Welcome</h1></html>", cah.ServerError, "does not answer like a"),
        (200, '{"token": "x"', cah.ServerError, "does not answer like a"),
        (200, '{"token": 5}', cah.ServerError, "does not answer like a"),
        (200, b"\xff\xfe\x00", cah.ServerError, "does not answer like a"),
        (500, "Internal Server Error", cah.ServerError, "500"),
        (503, "The store is down.", cah.ServerError, "503"),
        (404, "<html>nginx</html>", cah.ServerError, "is the path right"),
        (400, "The nickname is too long.", ValueError, "nickname is too long"),
        (301, "", cah.ServerError, "sends elsewhere"),
    ],
)
def test_answers_that_are_none(status, body, error, words):
    with server(lambda request: say(request, status, body)) as url:
        with pytest.raises(error, match=words):
            cah.init(url, settings=IMPATIENT)


def test_a_tracker_that_is_away_is_waited_for(tmp_path):
    tracker = two_shards(tmp_path)
    with tracker:
        client = cah.init(tracker.url, "ada")
        client.newJob()
    waiting = "import sys, json, crawlingathome as cah\n"
    waiting += "cah.load(**json.loads(sys.argv[1])).completeJob(3)\n"
    other = program(waiting, json.dumps(client.dump()))
    time.sleep(1)
    assert other.poll() is None
    # It does not stop the work: what is told goes with the next sign of life.
    client.log("while nobody listens")
    with tracker:
        assert other.wait(120) == 0
        assert tracker.get("/data").json()["total_pairs_scraped"] == 3


def forgetful(calls):
    """What a tracker answers that leases one job, hears nothing of it, and then has none."""
    told = {"display_name": "a-b-123", "token": "t", "upload_address": ""}
    job = {"url": "u", "start_id": "0", "end_id": "1000000", "shard": 0, "number": 1}

    def answer(request):
        path = request.path.split("?")[0]
        calls.append(path)
        if path == "/api/new":
            return say(request, 200, json.dumps(told))
        if path == "/api/newJob" and calls.count(path) == 1:
            return say(request, 200, json.dumps(job))
        if path == "/api/newJob":
            return say(request, 403, "No jobs are open.")
        if path == "/api/jobCount":
            # One that is open, but not for this worker, for a while.
            return say(request, 200, str(max(0, 2 - calls.count(path))))
        say(request, 500 if path != "/api/bye" else 403, "This worker is kept out.")

    return answer


def test_a_loop_over_jobs_survives_a_deaf_tracker(monkeypatch):
    monkeypatch.setattr(cah.core, "HELD_BACK", 0.01)
    calls = []
    with server(forgetful(calls)) as url:
        with cah.init(url, settings=cah.Settings(deadline=0)) as client:
            for job in client.jobs():
                job.log("nobody hears that")
    assert calls.count("/api/failJob") == 1
    assert calls.count("/api/newJob") == 3
    assert calls[-1] == "/api/bye"


def test_an_awaited_loop_over_jobs_survives_a_deaf_tracker(monkeypatch):
    monkeypatch.setattr("crawlingathome.aio.HELD_BACK", 0.01)
    calls = []

    async def work(url):
        settings = cah.Settings(deadline=0)
        async with cah.AsyncClient.connect(url, settings=settings) as client:
            async for job in client.jobs():
                await job.log("nobody hears that")

    with server(forgetful(calls)) as url:
        asyncio.run(work(url))
    assert calls.count("/api/failJob") == 1
    assert calls.count("/api/newJob") == 3
    assert calls[-1] == "/api/bye"


def test_a_deadline_ends_what_is_in_vain(tmp_path):
    with two_shards(tmp_path) as tracker:
        client = cah.init(tracker.url, "ada", settings=cah.Settings(deadline=1))
    with pytest.raises(cah.ServerError, match="no tracker answers"):
        client.newJob()
    client.bye()


def test_five_hundreds_pass():
    answered = []

    def answer(request):
        answered.append(request.path)
        if len(answered) < 3:
            return say(request, 502, "Bad Gateway")
        told = {"display_name": "a-b-123", "token": "t", "upload_address": ""}
        say(request, 200, json.dumps(told))

    with server(answer) as url:
        assert cah.init(url).display_name == "a-b-123"
    assert len(answered) == 3


def test_a_worker_that_timed_out(tmp_path):
    with two_shards(tmp_path, "--idle-timeout=1") as tracker:
        client = cah.init(tracker.url, "ada", settings=cah.Settings(heartbeat=3600))
        wait_until(lambda: tracker.get("/data").json()["total_connected_workers"] == 0)
        for call in (client.newJob, lambda: client.log("x")):
            with pytest.raises(cah.WorkerTimedOutError, match="silent for too long"):
                call()
        assert not client.isAlive()


def test_a_held_job_is_kept_alive(tmp_path):
    with two_shards(tmp_path, "--idle-timeout=2") as tracker:
        client = cah.init(tracker.url, "ada", settings=cah.Settings(heartbeat=0.2))
        client.newJob()
        # Long work, in which Python is busy with itself.
        busy_until = time.monotonic() + 6
        while time.monotonic() < busy_until:
            sum(range(10_000))
        client.completeJob(7)
        assert tracker.get("/data").json()["total_pairs_scraped"] == 7


HELD_UP = """
import sys, threading, crawlingathome as cah
calls = {
    "init": lambda: cah.init(sys.argv[1]),
    "newJob": lambda: cah.load(_type="HYBRID", url=sys.argv[1], token="t", nickname="a").newJob(),
    "isAlive": lambda: cah.load(_type="CPU", url=sys.argv[1], token="t", nickname="a").isAlive(),
    "completeJob": lambda: cah.load(
        _type="GPU", url=sys.argv[1], token="t", nickname="a", shard="http://x/", start_id="0",
        end_id="1000000", shard_piece=0).completeJob(1),
    "downloadShard": lambda: cah.load(
        _type="HYBRID", url=sys.argv[1], token="t", nickname="a", shard=sys.argv[1] + "/x.wat.gz",
        start_id="0", end_id="1000000", shard_piece=0).downloadShard(sys.argv[3]),
}
print("ready", flush=True)
try:
    calls[sys.argv[2]]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("call", ["init", "newJob", "isAlive", "completeJob", "downloadShard"])
def test_ctrl_c_works_at_once(call, tmp_path):
    """The tracker takes every call and never answers."""
    reached = []

    def never(request):
        if request.path.startswith("/api/updateProgress"):
            return say(request, 200, "success")
        reached.append(request.path)
        time.sleep(20)

    with server(never) as url:
        other = program(HELD_UP, url, call, str(tmp_path), stdout=subprocess.PIPE)
        assert other.stdout.readline() == "ready\n"
        wait_until(lambda: reached)
        other.send_signal(signal.SIGINT)
        told, _ = other.communicate(timeout=15)
        assert told == "interrupted\n" and other.returncode == 0


LEAVING = """
import signal, sys, crawlingathome as cah
client = cah.load(_type="HYBRID", url=sys.argv[1], token="t", nickname="a")

def leave(*_):
    client.bye()
    sys.exit(3)

signal.signal(signal.SIGTERM, leave)
client.newJob()
"""


def test_a_handler_of_a_signal_may_say_bye():
    """As scripts do that tidy up when a container is stopped."""
    reached = []

    def answer(request):
        reached.append(request.path)
        if request.path == "/api/newJob":
            time.sleep(20)
        say(request, 200, "success")

    with server(answer) as url:
        other = program(LEAVING, url, stderr=subprocess.PIPE)
        wait_until(lambda: reached)
        other.send_signal(signal.SIGTERM)
        _, told = other.communicate(timeout=15)
    assert other.returncode == 3 and "panic" not in told, told
    assert reached == ["/api/newJob", "/api/bye"]


def test_ctrl_c_while_something_is_logged():
    """Nobody listens, and each attempt is logged, which is Python, too."""
    other = program(HELD_UP, "http://127.0.0.1:1", "init", stdout=subprocess.PIPE)
    assert other.stdout.readline() == "ready\n"
    time.sleep(1.2)
    other.send_signal(signal.SIGINT)
    told, _ = other.communicate(timeout=15)
    assert told == "interrupted\n"


def test_what_it_tells_goes_where_the_program_wants(tracker):
    quiet = "import logging; logging.basicConfig(level=logging.ERROR)\n"
    work = "import sys, crawlingathome as cah\ncah.init(sys.argv[1]).jobCount()\n"
    for setup, is_told in (("", True), (quiet, False)):
        other = program(setup + work, tracker.url, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        out, told = other.communicate(timeout=60)
        assert other.returncode == 0 and out == ""
        assert ("jobs remaining: 2" in told) == is_told, told


def test_settings_that_are_none():
    for settings in (cah.Settings(deadline=-1), cah.Settings(heartbeat=float("nan"))):
        with pytest.raises(ValueError, match="no number of seconds"):
            cah.init("http://127.0.0.1:1", settings=settings)


def test_text_that_the_protocol_does_not_carry(tracker):
    with pytest.raises(ValueError, match="128"):
        cah.init(tracker.url, "x" * 129)
    client = cah.init(tracker.url, "ada", "CPU")
    client.newJob()
    with pytest.raises(ValueError):
        client.completeJob("with\0zero")
    # It is held still, and a line that is too long does no harm, with a job or without.
    client.log("x" * 2000 + "\n")
    client.completeJob("http://127.0.0.1:9/x.tar")
    client.log("x" * 2000 + "\n")
