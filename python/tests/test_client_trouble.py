"""What its users suffered: trackers that are away, slow or no trackers, time-outs, Ctrl-C."""

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
        deadline = time.monotonic() + 60
        while tracker.get("/data").json()["total_connected_workers"] > 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
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
        deadline = time.monotonic() + 60
        while not reached:
            assert time.monotonic() < deadline and other.poll() is None
            time.sleep(0.05)
        other.send_signal(signal.SIGINT)
        told, _ = other.communicate(timeout=15)
        assert told == "interrupted\n" and other.returncode == 0


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
    # It is held still, and a line that is too long does no harm.
    client.log("x" * 2000 + "\n")
    client.completeJob("http://127.0.0.1:9/x.tar")
