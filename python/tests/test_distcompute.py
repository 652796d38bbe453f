"""The public DistCompute client, as it comes from the registry, against this tracker; and what takes
its place, `crawlingathome.distcompute`, in the same tests."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import crawlingathome.distcompute
import distcompute_client
import pytest

from conftest import REPOSITORY, Tracker, cah

CLIENTS_BY_NAME = {
    "the registry's": distcompute_client,
    "ours": crawlingathome.distcompute,
}
ZeroJobError, WorkerTimedOutError = (
    tuple(getattr(module.errors, name) for module in CLIENTS_BY_NAME.values())
    for name in ("ZeroJobError", "WorkerTimedOutError")
)
dc = None


@pytest.fixture(autouse=True, params=CLIENTS_BY_NAME)
def client_library(request, monkeypatch):
    """Each test as a script that imports one of them as `dc`."""
    monkeypatch.setattr(sys.modules[__name__], "dc", CLIENTS_BY_NAME[request.param])


def join(tracker, stage, nickname="ada"):
    # The address with a slash at its end is one that the client repairs itself.
    return dc.init(url=f"{tracker.url}/", stage=stage, nickname=nickname, verbose=False)


@pytest.fixture
def words(tmp_path):
    """Three jobs, `word-0` to `word-2`, that go through three stages."""
    jobs = ["--brace", "word-{0..2}", "--stages", "Upper,Count,Sort"]
    with Tracker(tmp_path, jobs, "--project", "Words") as tracker:
        yield tracker


def test_jobs_go_through_every_stage(words):
    upper = join(words, "A")
    assert (upper.project, upper.stage_name) == ("Words", "Upper")
    assert upper.job_count() == 3
    for number in range(3):
        upper.new_job()
        assert (upper.job, upper.job_id) == (f"word-{number}", number + 1)
        upper.log(f"{number} / 3")
        upper.complete_job(upper.job.upper())
        assert upper.job is None
    with pytest.raises(ZeroJobError):
        upper.new_job()

    count = join(words, "b")
    for number in range(3):
        count.new_job()
        assert count.job == f"WORD-{number}"
        count.complete_job({"word": count.job, "letters": len(count.job)})
    sort = join(words, "c")
    letters = []
    while sort.job_count() > 0:
        sort.new_job()
        letters.append(sort.job["letters"])
        sort.complete_job(["done", sort.job["word"]])
    assert letters == [6, 6, 6]
    assert words.get("/data").json()["completion_str"] == "3 / 3"
    assert sort.is_alive()
    sort.bye()
    assert not sort.is_alive()


def test_the_page_that_the_client_names_is_there(words):
    client = join(words, "a", nickname="<b>ada</b>")
    client.log("half of it <script>")
    # As the client prints it.
    page = words.get(f"/worker/{client.stage_name.lower()}/{client.display_name}")
    assert page.status_code == 200
    assert "half of it &#60;script&#62;" in page.text and "<b>ada" not in page.text


def test_invalid_data_goes_back_after_five_reports(words):
    first = join(words, "a")
    first.new_job()
    first.complete_job("bad")
    for number in range(5):
        client = join(words, "b", nickname=f"worker {number}")
        client.new_job()
        assert client.job == "bad"
        client.flag_invalid_data()
        client.bye()
    assert first.job_count() == 3
    first.new_job()
    assert (first.job, first.job_id) == ("word-0", 1)


def test_what_is_refused_has_the_class_that_the_client_gives_it(words):
    with pytest.raises(ValueError):
        join(words, "z")
    client = join(words, "a")
    with pytest.raises(ZeroJobError):
        client.complete_job("nothing was asked for")
    client.bye()
    with pytest.raises(WorkerTimedOutError):
        client.new_job()


def test_json_lists_and_text_files_are_projects(tmp_path):
    jobs = tmp_path / "jobs.json"
    jobs.write_text('["plain", {"x": [1, 2]}, ["a", "b"]]')
    with Tracker(tmp_path, ["--json", jobs, "--stages", "only"]) as tracker:
        client = join(tracker, "a")
        got = []
        for _ in range(3):
            client.new_job()
            got.append(client.job)
            client.complete_job(client.job)
        assert got == ["plain", {"x": [1, 2]}, ["a", "b"]]
    lines = tmp_path / "more.txt"
    lines.write_text("plain\n\nnew\n")
    told = cah("tracker", "import", "--store", tracker.store, "--txt", lines)
    assert told == "1 job imported; 1 was there already\n"


STAGES = ["One", "Two", "Three", "Four", "Five"]
CLIENTS = 8
PATIENCE = 120


def project(tmp_path, jobs, stages, *flags):
    """Jobs `job-0` and so on, of the first stages."""
    jobs = ["--brace", f"job-{{0..{jobs - 1}}}", "--stages", ",".join(STAGES[:stages])]
    return Tracker(tmp_path, jobs, *flags)


def exported(tracker):
    return [json.loads(line) for line in cah("tracker", "export", "--store", tracker.store).splitlines()]


def job_of(client):
    """The next job, once there is one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.new_job()
            return client.job
        except ZeroJobError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def form_of(number, trace):
    """What a stage makes of a job: a text, a list or an object in turn."""
    return [trace, [trace], {"trace": trace, "Größe": [1, None, 2.5]}][number % 3]


def work(client):
    """Adds the stage's letter to a job."""
    trace = client.job["trace"] if isinstance(client.job, dict) else client.job
    trace = trace[0] if isinstance(trace, list) else trace
    client.complete_job(form_of(client.job_id, trace + client.stage))


def output(text):
    """What a stage gave, as a client of the next one reads it."""
    return json.loads(text.removeprefix("<!json!>")) if text.startswith("<!json!>") else text


def test_the_client_tells_its_user_what_it_does(words, capsys):
    client = dc.init(words.url, "Brings up the second stage")
    client.job_count()
    client.bye()
    assert client.stage_name == "Count" and client.nickname == "anonymous"
    told = capsys.readouterr().out
    assert f"{words.url}/worker/count/{client.display_name}" in told
    assert "jobs remaining: 0" in told and "closed worker" in told


@pytest.mark.parametrize("stages, jobs", [(2, 60), (5, 30)])
def test_eight_clients_at_once_close_every_job_once(tmp_path, stages, jobs):
    with project(tmp_path, jobs, stages) as tracker:
        left = [threading.Semaphore(jobs) for _ in range(stages)]
        begin = threading.Barrier(CLIENTS)
        wrong = []

        def run(number):
            at = number % stages
            try:
                client = join(tracker, "abcde"[at], nickname=f"client {number}")
                begin.wait(PATIENCE)
                # Who takes one of these places has a job to do, now or soon.
                while left[at].acquire(blocking=False):
                    job_of(client)
                    client.log("at it")
                    work(client)
                assert client.job is None and client.is_alive()
                client.bye()
            except BaseException as error:
                wrong.append(error)
                raise

        threads = [threading.Thread(target=run, args=[number]) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert wrong == []
        assert tracker.get("/data").json()["completion_str"] == f"{jobs} / {jobs}"
        assert join(tracker, "a").job_count() == 0
    for job in exported(tracker):
        assert (job["state"], job["failures"]) == ("closed", 0)
        made = [(done["stage"], done["attempt"], done["revoked"]) for done in job["completions"]]
        assert made == [(name, at + 1, False) for at, name in enumerate(STAGES[:stages])]
        trace = job["data"]
        for letter, done in zip("abcde", job["completions"]):
            trace += letter
            assert output(done["output"]) == form_of(job["number"], trace)


DYING = """
import importlib, sys, time
dc = importlib.import_module(sys.argv[2])

client = dc.init(sys.argv[1], "c", "dying", verbose=False)
client.new_job()
print(client.job, flush=True)
time.sleep(3600)
"""


def test_a_client_that_is_killed_loses_its_job_to_another(tmp_path):
    with project(tmp_path, 1, 5, "--idle-timeout=3") as tracker:
        for stage in "ab":
            client = join(tracker, stage)
            job_of(client)
            client.complete_job(stage)
        command = [sys.executable, "-c", DYING, tracker.url, dc.__name__]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
        dying = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert dying.stdout.readline() == "b\n"
        dying.send_signal(signal.SIGKILL)
        dying.wait()
        for stage, given in zip("cde", "bcd"):
            client = join(tracker, stage)
            assert job_of(client) == given
            client.complete_job(stage)
        assert tracker.get("/data").json()["completion_str"] == "1 / 1"
    (job,) = exported(tracker)
    outputs = [(done["output"], done["nickname"]) for done in job["completions"]]
    assert outputs == [(stage, "ada") for stage in "abcde"]
    assert (job["state"], job["attempts"], job["failures"]) == ("closed", 6, 1)


def test_flagged_data_is_made_anew_by_the_stage_before(tmp_path):
    with project(tmp_path, 1, 5) as tracker:
        clients = {stage: join(tracker, stage) for stage in "abcde"}

        def step(stage, given, made):
            job_of(clients[stage])
            assert clients[stage].job == given
            clients[stage].complete_job(made)

        step("a", "job-0", "a")
        step("b", "a", "b")
        step("c", "b", "bad")
        for number in range(5):
            with pytest.raises(ZeroJobError):
                clients["c"].new_job()
            doubtful = join(tracker, "d", nickname=f"doubtful {number}")
            assert job_of(doubtful) == "bad"
            doubtful.flag_invalid_data()
            assert doubtful.job is None
            doubtful.bye()
        with pytest.raises(ZeroJobError):
            clients["d"].new_job()
        step("c", "b", "good")
        step("d", "good", ["d"])
        step("e", ["d"], {"e": 1})
        assert tracker.get("/data").json()["completion_str"] == "1 / 1"
    (job,) = exported(tracker)
    made = [(done["stage"], output(done["output"])) for done in job["completions"]]
    assert made == [
        ("One", "a"),
        ("Two", "b"),
        ("Three", "bad"),
        ("Three", "good"),
        ("Four", ["d"]),
        ("Five", {"e": 1}),
    ]
