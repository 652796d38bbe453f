"""A tracker whose staging is in a bucket: what CPU workers bring goes there, and GPU workers take it
there, over HTTP, at addresses that the tracker signs."""

import os
import shutil
import subprocess
import time
import urllib.parse

import pytest
import requests

from conftest import BUCKET, Tracker, cah, free_port

WATS = [f"crawl-data/CC-MAIN-2021-43/segments/{i}.warc.wat.gz" for i in range(2)]
ADMIN = "token-of-the-staging-tests"
IMAGES = b"a tar with images"


@pytest.fixture
def bucket(server, monkeypatch):
    """The settings of the bucket, for every program that is started."""
    for name, setting in server.environment.items():
        monkeypatch.setenv(name, setting)
    return server


def tracker_of(tmp_path, place, *flags):
    paths = tmp_path / "wat.paths"
    paths.write_text("\n".join(WATS))
    token = tmp_path / "admin-token"
    token.write_text(ADMIN)
    flags = ["--staging", place, "--admin-token-file", str(token), *flags]
    return Tracker(tmp_path, ["--wat-paths", paths], *flags)


@pytest.fixture
def tracker(bucket, tmp_path):
    with tracker_of(tmp_path, f"s3://{BUCKET}/staging a/{tmp_path.name}") as tracker:
        tracker.prefix = f"staging a/{tmp_path.name}/"
        yield tracker


class Worker:
    def __init__(self, tracker, type):
        self.tracker, self.type = tracker, type
        self.joined = tracker.get("/api/new", nickname="ada", type=type).json()
        self.token = self.joined["token"]

    def call(self, name, **fields):
        return self.tracker.post(f"/api/{name}", token=self.token, type=self.type, **fields)

    def address(self):
        """Where to bring the next file."""
        answer = self.tracker.get("/api/getUploadAddress", type=self.type, token=self.token)
        assert answer.status_code == 200
        return answer.text


def curl(file, address):
    """As a person's own script brings a file."""
    command = [shutil.which("curl"), "--fail", "--silent", "--show-error", "-T", file, address]
    subprocess.run(command, check=True)


def without_query(address):
    return urllib.parse.urlsplit(address)._replace(query="").geturl()


def signatures(address):
    """What nobody but the worker may see."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
    return ["X-Amz-", query["X-Amz-Signature"][0], query["X-Amz-Credential"][0]]


def everything_shown(tracker):
    """All that anybody can see, operators included, and all that is stored."""
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    pages = ["/", "/data", "/leaderboard", "/workers", "/job/1", "/job/1/data", "/admin/export"]
    for page in pages:
        for headers in [{}, bearer]:
            answer = requests.get(tracker.url + page, headers=headers, timeout=30)
            yield page, answer.content
    store = tracker.store.removeprefix("sqlite:")
    for name in [store, f"{store}-wal"]:
        if os.path.exists(name):
            yield name, open(name, "rb").read()


def restarted(tracker):
    """What is used up is removed when a tracker starts, and then every minute."""
    tracker.__exit__()
    return tracker.__enter__()


def gone(server, key):
    for _ in range(600):
        if key not in server.keys(""):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("form", ["as it is", "without its query", "s3://"])
def test_images_go_through_the_bucket(tracker, server, tmp_path, form):
    cpu = Worker(tracker, "CPU")
    images = tmp_path / "images.tar"
    images.write_bytes(IMAGES)
    cpu.call("newJob")
    bring = cpu.joined["upload_address"]
    curl(images, bring)
    (key,) = server.keys(tracker.prefix)
    forms = {
        "as it is": bring,
        "without its query": without_query(bring),
        "s3://": f"s3://{BUCKET}/{urllib.parse.quote(key)}",
    }
    assert cpu.call("markAsDone", url=forms[form]).text == "success"
    # An answer that got lost is asked for again.
    assert cpu.call("markAsDone", url=forms[form]).text == "success"
    addresses = list(forms.values())
    assert tracker.post("/api/isCompleted", addresses=addresses).json() == []

    gpu = Worker(tracker, "GPU")
    take = gpu.call("newJob").json()["url"]
    assert "X-Amz-Signature" in take and take not in addresses
    assert requests.get(take, timeout=30).content == IMAGES
    for address in [bring, take]:
        for text in signatures(address):
            for place, shown in everything_shown(tracker):
                assert text.encode() not in shown, (text, place)

    assert restarted(tracker) is tracker
    assert server.keys(tracker.prefix) == [key]
    assert gpu.call("markAsDone", count=7).text == "success"
    assert tracker.post("/api/isCompleted", addresses=addresses).json() == addresses
    restarted(tracker)
    assert gone(server, key)


def test_each_file_has_an_address_of_its_own(tracker, tmp_path):
    cpu = Worker(tracker, "CPU")
    images = tmp_path / "images.tar"
    images.write_bytes(IMAGES)
    first, second = cpu.joined["upload_address"], cpu.address()
    assert without_query(first) != without_query(second)
    for address in [first, second]:
        curl(images, address)
    cpu.call("newJob")
    assert cpu.call("markAsDone", url=first).text == "success"
    cpu.call("newJob")
    # The file of the first job would be handed out for the second one.
    again = cpu.call("markAsDone", url=without_query(first))
    assert again.status_code == 400 and "getUploadAddress" in again.text
    assert cpu.call("markAsDone", url=second).text == "success"
    # Without a token, as old clients ask, too; others have nothing to bring.
    answer = tracker.get("/api/getUploadAddress", type="CPU").text
    assert "X-Amz-Signature" in answer
    assert tracker.get("/api/getUploadAddress", type="GPU").text == f"{tracker.url}/staging/"


def test_addresses_of_others_pass_as_they_are(tracker, server):
    server.client.put_object(Bucket=BUCKET, Key="secret.tar", Body=b"not for workers")
    cpu, gpu = Worker(tracker, "CPU"), Worker(tracker, "GPU")
    for address in [
        f"{server.endpoint}/{BUCKET}/secret.tar",
        f"s3://{BUCKET}/{tracker.prefix}../secret.tar".replace(" ", "%20"),
        "https://elsewhere.example.org/1.tar?X-Amz-Signature=theirs",
    ]:
        cpu.call("newJob")
        assert cpu.call("markAsDone", url=address).text == "success"
        assert gpu.call("newJob").json()["url"] == address
        assert gpu.call("markAsDone", count=0).text == "success"


def test_whole_wats_and_flagged_images_use_the_bucket_too(tracker, server, tmp_path):
    images = tmp_path / "images.tar"
    images.write_bytes(IMAGES)
    addresses = [tracker.get("/api/getUploadAddress", type="CPU").text for _ in range(2)]
    for address in addresses:
        curl(images, address)
    url = tracker.get("/custom/get-cpu-wat").text
    shards = tracker.post("/custom/lookup-wat", url=url).json()["shards"]
    numbers = [number for number, _ in shards]
    urls = dict(zip(map(str, numbers), addresses))
    for _ in range(2):
        done = tracker.post("/custom/markasdone-cpu", shards=numbers, urls=urls, nickname="bob")
        assert done.json() == {"status": "success", "completed": 2}
    gpu = Worker(tracker, "GPU")
    assert requests.get(gpu.call("newJob").json()["url"], timeout=30).content == IMAGES
    assert gpu.call("gpuInvalidDownload").text == "success"
    finished = tracker.post("/api/isCompleted", addresses=addresses).json()
    assert finished == addresses[:1]
    restarted(tracker)
    key = urllib.parse.unquote(urllib.parse.urlsplit(addresses[0]).path.removeprefix(f"/{BUCKET}/"))
    assert gone(server, key)
    assert len(server.keys(tracker.prefix)) == 1


def test_what_is_too_large_is_removed(bucket, tmp_path):
    prefix = f"limited/{tmp_path.name}"
    images = tmp_path / "images.tar"
    images.write_bytes(IMAGES)
    place = f"s3://{BUCKET}/{prefix}"
    with tracker_of(tmp_path, place, "--staging-limit", str(len(IMAGES) - 1)) as tracker:
        curl(images, Worker(tracker, "CPU").joined["upload_address"])
        (key,) = bucket.keys(prefix)
        restarted(tracker)
        assert gone(bucket, key)


def test_who_may_not_join_is_told_no_address(bucket, tmp_path):
    key = tmp_path / "join-key"
    key.write_text("k" * 64)
    with tracker_of(tmp_path, f"s3://{BUCKET}/keys", "--join-key-file", str(key)) as tracker:
        ask = lambda path="", **query: tracker.get(f"{path}/api/getUploadAddress", type="CPU", **query)
        for refused in [ask(), ask(token="nobody"), ask(key="wrong")]:
            assert refused.status_code == 403 and "X-Amz" not in refused.text
        joined = tracker.get("/api/new", nickname="ada", type="CPU", key="k" * 64).json()
        for told in [ask(key="k" * 64), ask(f"/k/{'k' * 64}"), ask(token=joined["token"])]:
            assert "X-Amz-Signature" in told.text


@pytest.mark.parametrize(
    "place, settings, part",
    [
        ("s3://nobodys-bucket/a", {}, "there is no such bucket"),
        (f"s3://{BUCKET}/a", {"AWS_ENDPOINT_URL": "closed"}, "cannot be listed"),
        (f"s3://{BUCKET}/a", {"AWS_ACCESS_KEY_ID": ""}, "credentials"),
        (f"s3://{BUCKET}/postgres", {}, "another bucket or prefix"),
        (f"gs://{BUCKET}/a", {}, "s3://"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_named_at_once(bucket, tmp_path, place, settings, part):
    environment = {**os.environ, **settings}
    if settings.get("AWS_ENDPOINT_URL") == "closed":
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    if "AWS_ACCESS_KEY_ID" in settings:
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
            environment.pop(name)
        environment["AWS_METADATA_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    store = f"sqlite:{tmp_path / 'tracker.db'}"
    cah("tracker", "init", "--store", store)
    command = [os.environ["CAH_BIN"], "tracker", "serve", "--store", store, "--staging", place]
    command += ["--listen", "127.0.0.1:0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    errors = [line for line in done.stderr.splitlines() if "rror" in line]
    assert done.returncode != 0 and len(errors) == 1, done.stderr
    assert place in errors[0] and part in errors[0], errors
