"""The calls of Crawling@Home's client v1.5.0, field by field as it sends them, against this tracker.

That client is on no registry; what it sends and how it reads the answers are facts of the protocol.
"""

import uuid

import pytest

from conftest import Tracker

WATS = [f"crawl-data/CC-MAIN-2021-43/segments/{i}.warc.wat.gz" for i in range(3)]
URLS = [f"https://data.commoncrawl.org/{path}" for path in WATS]


@pytest.fixture
def tracker(tmp_path):
    paths = tmp_path / "wat.paths"
    paths.write_text("\n".join(WATS))
    addresses = ["--upload-address", "CPU=rsync://one/", "--upload-address", "cpu=rsync://two/"]
    with Tracker(tmp_path, ["--wat-paths", paths], "--flag-reports=2", *addresses) as tracker:
        yield tracker


class Worker:
    """A worker of one type, with the fields that the client sends in each call."""

    def __init__(self, tracker, type, nickname="ada"):
        joined = tracker.get("/api/new", nickname=nickname, type=type)
        assert joined.status_code == 200
        self.data = joined.json()
        self.tracker, self.type = tracker, type
        self.token = self.data["token"]

    def call(self, name, **fields):
        return self.tracker.post(f"/api/{name}", token=self.token, type=self.type, **fields)

    def job(self):
        return self.call("newJob").json()


def test_a_hybrid_worker_lives_its_life(tracker):
    worker = Worker(tracker, "HYBRID")
    assert worker.data["upload_address"] == f"{tracker.url}/staging/"
    uuid.UUID(worker.token, version=4)
    assert int(tracker.get("/api/jobCount", type="HYBRID").text) == 6
    job = worker.job()
    assert job["url"] == URLS[0]
    assert (int(job["start_id"]), int(job["end_id"]), job["shard"]) == (0, 10**6, 0)
    assert worker.call("updateProgress", progress="12 / 345").text == "success"
    assert worker.call("validateWorker").text == "True"
    assert worker.call("markAsDone", count=7).text == "success"
    page = f"/worker/hybrid/{worker.data['display_name']}"
    assert tracker.get(page).status_code == 200
    told = tracker.get(f"{page}/data").json()
    assert (told["jobs_completed"], told["user_nickname"]) == (1, "ada")
    assert worker.call("bye").text == "success"
    assert worker.call("validateWorker").text == "False"
    gone = worker.call("updateProgress", progress="late")
    assert gone.status_code == 404 and "Did the worker time out?" in gone.text


def test_cpu_and_gpu_workers_share_a_shard(tracker):
    cpu = Worker(tracker, "CPU")
    assert cpu.data["upload_address"] in ["rsync://one/", "rsync://two/"]
    drawn = {tracker.get("/api/getUploadAddress", type="CPU").text for _ in range(50)}
    assert drawn == {"rsync://one/", "rsync://two/"}
    names = []
    for _ in range(2):
        cpu.job()
        # Fields that the call does not know do no harm.
        names.append(f"rsync {uuid.uuid4()}")
        done = cpu.call("markAsDone", url=names[-1], count=None, shards=[1, 2], unknown={"x": 1})
        assert done.text == "success"
    assert int(tracker.get("/api/jobCount", type="GPU").text) == 2

    gpu = Worker(tracker, "GPU")
    assert gpu.job()["url"] == names[0]
    assert gpu.call("gpuInvalidDownload").text == "success"
    assert gpu.job()["url"] == names[1]
    # What was flagged is made anew, and its old address is nobody's.
    waiting = tracker.post("/api/isCompleted", addresses=names)
    assert waiting.json() == names[:1]
    assert gpu.call("markAsDone", count=0).text == "success"
    assert tracker.post("/api/isCompleted", addresses=names).json() == names


def test_whole_wat_files_go_to_one_client(tracker):
    taken = set()
    for _ in WATS:
        # As the client does: until a file has both of its shards.
        while True:
            url = tracker.get("/custom/get-cpu-wat").text
            found = tracker.post("/custom/lookup-wat", url=url).json()
            if found["status"] == "success":
                break
        numbers = [number for number, _ in found["shards"]]
        first, second = (job for _, job in found["shards"])
        assert (first["url"], first["shard"], second["shard"]) == (url, 0, 1)
        urls = {number: f"rsync {number}" for number in numbers}
        fields = {"shards": numbers, "urls": urls, "nickname": "bob"}
        # A token is not needed, and one that is long gone is no harm.
        for token in [str(uuid.uuid4()), None]:
            done = tracker.post("/custom/markasdone-cpu", token=token, **fields).json()
            assert done == {"status": "success", "completed": 2}
        taken.add(url)
    assert taken == set(URLS)
    none = tracker.get("/custom/get-cpu-wat")
    assert none.status_code == 403


def test_jobs_may_be_given_out_at_random(tmp_path):
    jobs = ["--brace", "{1..200}", "--stages", "only"]
    with Tracker(tmp_path, jobs, "--claim-order", "random") as tracker:
        token = tracker.get("/api/new", nickname="ada", stage="a").json()["token"]
        numbers = []
        for _ in range(200):
            numbers.append(tracker.post("/api/newJob", token=token).json()["number"])
            assert tracker.post("/api/completeJob", token=token, data="x").text == "200 OK"
    assert sorted(numbers) == list(range(1, 201)) and numbers != sorted(numbers)
