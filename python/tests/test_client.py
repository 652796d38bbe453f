"""The names of the client of old (version 1.5.0 and its README), each against the real tracker."""

import inspect
import json
import logging
import pathlib
import pickle
import re
import subprocess
import sys
import uuid

import crawlingathome as cah
import numpy as np
import pytest
from conftest import Tracker

TYPES = {"HYBRID": cah.HybridClient, "CPU": cah.CPUClient, "GPU": cah.GPUClient}


@pytest.fixture
def tracker(tmp_path):
    """Six shards of three WAT files."""
    paths = tmp_path / "wat.paths"
    paths.write_text("\n".join(f"crawl-data/{i}.warc.wat.gz" for i in range(3)))
    with Tracker(tmp_path, ["--wat-paths", paths], "--flag-reports=2") as tracker:
        yield tracker


def url_of(wat):
    return f"https://data.commoncrawl.org/crawl-data/{wat}.warc.wat.gz"


def join(tracker, type="HYBRID", **more):
    return cah.init(url=tracker.url, nickname="ada", type=type, **more)


def page(tracker, client):
    """What the tracker knows of a worker."""
    path = f"/worker/{client.type.lower()}/{client.display_name}/data"
    return tracker.get(path).json()


def hand_over(tracker, url="http://127.0.0.1:9/x.tar"):
    """Has a CPU worker hand a shard over."""
    with join(tracker, "CPU") as cpu:
        cpu.newJob()
        cpu.completeJob(url)


@pytest.mark.parametrize("type", ["HYBRID", "hybrid", "h", "CPU", "c", "Cpu", "gpu", "G"])
def test_a_type_is_a_text_whose_first_letter_counts(tracker, type):
    client = join(tracker, type)
    assert isinstance(client, TYPES[client.type]) and client.type[0] == type[0].upper()
    assert page(tracker, client)["type"] == client.type


@pytest.mark.parametrize("name", ["HybridClient", "CPUClient", "GPUClient"])
def test_a_type_is_a_class(tracker, name):
    from_core, from_top = getattr(cah.core, name), getattr(cah, name)
    assert from_core is from_top
    assert isinstance(join(tracker, from_core), from_core)
    assert isinstance(from_core(tracker.url, "ada"), from_core)


@pytest.mark.parametrize("type", ["", "x", None, 5, str])
def test_a_type_that_does_not_exist_is_a_value_error(tracker, type):
    with pytest.raises(ValueError, match="HYBRID, CPU and GPU"):
        join(tracker, type)


def test_what_it_is_called_with_has_the_defaults_of_old():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cah.init).parameters.items()
    }
    del defaults["settings"]
    assert defaults == {
        "url": "http://crawlingathome.duckdns.org/",
        "nickname": None,
        "type": "HYBRID",
    }


def test_attributes(tracker):
    client = join(tracker)
    assert client.url == tracker.url + "/" and client.nickname == "ada"
    assert (client.shard, client.start_id, client.end_id, client.shard_piece) == (None,) * 4
    assert client.upload_address == f"{tracker.url}/staging/"
    word, other, number = client.display_name.split("-")
    assert word.isalpha() and other.isalpha() and len(number) == 3
    assert len(client.token) == 64
    for number in range(3):
        client.newJob()
        assert client.shard == url_of(number // 2)
        assert type(client.start_id) is type(client.end_id) is np.int64
        assert client.start_id == number // 2 * 10**6
        assert client.end_id - client.start_id == 10**6
        assert client.shard_piece == number % 2
        client.completeJob(np.int64(0))


def test_nobody_in_particular_is_anonymous(tracker):
    client = cah.init(tracker.url)
    assert client.nickname == "anonymous" and client.type == "HYBRID"
    assert page(tracker, client)["user_nickname"] == "anonymous"


def test_log_is_seen_by_the_tracker(tracker):
    client = join(tracker)
    client.log("12 / 100 (12%)")
    assert page(tracker, client)["progress"] == "12 / 100 (12%)"
    client.newJob()
    client.log(13)
    assert page(tracker, client)["progress"] == "13"
    client.bye()
    with pytest.raises(cah.errors.WorkerTimedOutError):
        client.log("late")
    client.log("Crashed", crashed=True)


def test_job_count_counts_down(tracker):
    hybrid, gpu = join(tracker), join(tracker, "GPU")
    assert (hybrid.jobCount(), gpu.jobCount()) == (6, 0)
    hand_over(tracker)
    assert (hybrid.jobCount(), gpu.jobCount()) == (5, 1)


def test_without_an_open_job_there_is_zero_job_error(tracker):
    gpu = join(tracker, "GPU")
    with pytest.raises(cah.errors.ZeroJobError):
        gpu.newJob()
    assert cah.ZeroJobError is cah.errors.ZeroJobError


def test_a_new_job_leaves_the_last_one_behind(tracker):
    """A script that cannot do a job and goes on must not get it again and again."""
    client = join(tracker)
    given = set()
    for _ in range(3):
        client.newJob()
        given.add((client.shard, client.shard_piece))
    assert len(given) == 3
    assert client.jobCount() == 5


def test_completing_needs_a_job(tracker):
    client = join(tracker)
    with pytest.raises(cah.errors.ZeroJobError, match="newJob"):
        client.completeJob(1)


def test_a_number_of_pairs_is_a_whole_number(tracker):
    client = join(tracker)
    for nonsense in (1.5, -1, 1 << 64, float("nan"), "7", None):
        client.newJob()
        with pytest.raises(ValueError, match="number"):
            client.completeJob(nonsense)
        client.completeJob(np.float64(2.0))
    assert tracker.get("/data").json()["total_pairs_scraped"] == 12


def test_a_client_can_be_pickled(tracker):
    settings = cah.Settings(deadline=7)
    client = join(tracker, settings=settings)
    client.newJob()
    again = pickle.loads(pickle.dumps(client))
    assert type(again) is cah.HybridClient and again._settings == settings
    assert (again.token, again.shard) == (client.token, client.shard)
    again.completeJob(7)
    assert tracker.get("/data").json()["total_pairs_scraped"] == 7


def test_the_name_of_old_completes_with_a_warning(tracker, caplog):
    client = join(tracker)
    client.newJob()
    with caplog.at_level(logging.INFO, "crawlingathome"):
        client._markjobasdone(4)
    assert any("WARNING" in line and "completeJob" in line for line in caplog.messages)
    assert tracker.get("/data").json()["total_pairs_scraped"] == 4


def test_a_cpu_and_a_gpu_worker_share_a_shard(tracker):
    handed_over = f"rsync {uuid.uuid4()}"
    hand_over(tracker, handed_over)
    gpu = join(tracker, "GPU")
    gpu.newJob()
    assert gpu.shard == handed_over and gpu.start_id == 0
    gpu.completeJob(3)
    assert tracker.get("/data").json()["total_pairs_scraped"] == 3


def test_an_invalid_url_is_flagged_and_raised(tracker):
    hand_over(tracker)
    gpu = join(tracker, "GPU")
    gpu.newJob()
    with pytest.raises(cah.errors.InvalidURLError):
        gpu.invalidURL()
    assert gpu.jobCount() == 0
    assert join(tracker).jobCount() == 6
    # As the client of old: raised even where the tracker does not take the report.
    with pytest.raises(cah.errors.InvalidURLError):
        gpu.invalidURL()


@pytest.mark.parametrize("type", TYPES)
def test_dump_and_load(tracker, type):
    hand_over(tracker)
    client = join(tracker, type)
    client.newJob()
    dumped = cah.dump(client)
    assert dumped == client.dump()
    of_old = {"_type", "url", "token", "nickname", "shard", "start_id", "end_id", "shard_piece"}
    of_old |= {"wat", "shards"}
    assert of_old <= set(dumped)
    assert dumped["_type"] == type and isinstance(dumped["start_id"], str)
    loaded = cah.load(**json.loads(json.dumps(dumped)))
    assert isinstance(loaded, TYPES[type])
    for name in ("token", "shard", "start_id", "end_id", "shard_piece", "url", "nickname"):
        assert getattr(loaded, name) == getattr(client, name), name
    assert loaded.display_name == client.display_name
    loaded.completeJob("http://127.0.0.1:9/y.tar" if type == "CPU" else 9)
    assert page(tracker, client)["jobs_completed"] == 1


def test_a_dump_of_old_is_loaded(tracker):
    client = join(tracker)
    client.newJob()
    client.completeJob(0)
    client.newJob()
    dumped = client.dump()
    of_old = {key: dumped[key] for key in ("_type", "url", "token", "nickname", "shard")}
    of_old |= {"start_id": client.start_id, "end_id": client.end_id, "shard_piece": 1}
    loaded = cah.load(**of_old, wat=None, shards=None)
    assert (loaded.shard_piece, loaded.start_id) == (1, 0)
    loaded.completeJob(2)
    assert tracker.get("/data").json()["completion_str"] == "2 / 6"


def test_dumps_that_are_none(tracker):
    with pytest.raises(cah.errors.DumpError):
        cah.dump("no client")
    client = join(tracker)
    client.newJob()
    dumped = client.dump()
    with pytest.raises(ValueError, match="type"):
        cah.load(**{**dumped, "_type": "TPU"})
    for broken in ({"token": None}, {"url": None}, {"end_id": None}, {"start_id": "x"}):
        with pytest.raises(cah.errors.DumpError):
            cah.load(**{**dumped, **broken})


def test_recreate_is_a_worker_anew(tracker):
    client = join(tracker)
    client.newJob()
    token, name = client.token, client.display_name
    client.bye()
    client.recreate()
    assert client.token != token and client.display_name != name
    assert client.isAlive()
    client.newJob()
    client.completeJob(1)


def test_the_upload_server_is_updated(tmp_path):
    paths = tmp_path / "wat.paths"
    paths.write_text("crawl-data/0.warc.wat.gz")
    flags = [f"--upload-address=GPU=rsync://{name}/" for name in ("one", "two")]
    with Tracker(tmp_path, ["--wat-paths", paths], *flags) as tracker:
        client = join(tracker, "GPU")
        seen = set()
        for _ in range(50):
            assert client.updateUploadServer() is None
            seen.add(client.upload_address)
        assert seen == {"rsync://one/", "rsync://two/"}


def test_bye_gives_the_job_back(tracker):
    client = join(tracker)
    client.newJob()
    assert client.isAlive()
    client.bye()
    assert not client.isAlive()
    assert join(tracker).jobCount() == 6
    client.bye()
    with pytest.raises(cah.errors.WorkerTimedOutError):
        client.newJob()


def test_whole_wat_files_go_to_one_client(tracker):
    client = cah.FullWATClient(tracker.url, "ada")
    assert client.upload_address.startswith(tracker.url) and client.isAlive()
    taken = set()
    while client.jobCount() > 0:
        client.newJob()
        numbers = [number for number, _ in client.shards]
        assert [job["shard"] for _, job in client.shards] == [0, 1]
        assert all(job["url"] == client.wat for _, job in client.shards)
        loaded = cah.load(**json.loads(json.dumps(cah.dump(client))))
        assert isinstance(loaded, cah.FullWATClient)
        assert (loaded.wat, loaded.shards) == (client.wat, client.shards)
        taken.add(client.wat)
        client.completeJob({str(number): f"rsync {number}" for number in numbers})
        assert client.wat is None and client.shards is None
    assert taken == {url_of(wat) for wat in range(3)} and client.completed == 6
    assert join(tracker, "GPU").jobCount() == 6
    for call in (client.newJob, lambda: client.completeJob({})):
        with pytest.raises(cah.ZeroJobError):
            call()


def test_a_client_of_whole_wat_files_introduces_itself_anew(tracker):
    client = cah.FullWATClient(tracker.url, "ada")
    token = client.token
    client.bye()
    client.log("still here")
    assert client.token != token and client.isAlive()
    client.newJob()
    with pytest.raises(ValueError, match="99"):
        client.completeJob({99: "rsync 99"})


def test_print_goes_to_the_log(caplog):
    with caplog.at_level(logging.INFO, "crawlingathome"):
        cah.print("hello %s")
        cah.core.print(5)
    assert caplog.messages == ["hello %s", "5"]


def test_the_names_of_the_module():
    assert cah.__version__.count(".") == 2
    for name in ("ServerError", "ZeroJobError", "DumpError", "InvalidURLError"):
        assert getattr(cah, name) is getattr(cah.errors, name)
        assert issubclass(getattr(cah, name), cah.CrawlingAtHomeError)
    assert cah.core.HybridClient is cah.HybridClient


def test_modules_of_old_have_their_names():
    import crawlingathome.recycler
    import crawlingathome.temp
    import crawlingathome.version

    assert crawlingathome.temp.TempCPUWorker is cah.FullWATClient
    assert (crawlingathome.recycler.dump, crawlingathome.recycler.load) == (cah.dump, cah.load)
    assert crawlingathome.version.VERSION == cah.__version__


def test_a_clone_of_old_may_have_been_called_crawlingathome_client():
    """A program of its own: what it imports is not imported yet."""
    program = """
from crawlingathome_client.temp import TempCPUWorker
import crawlingathome_client as cah
from crawlingathome_client.core import CPUClient
from crawlingathome_client import errors, init
import crawlingathome

assert cah is crawlingathome and CPUClient is crawlingathome.CPUClient
assert TempCPUWorker is crawlingathome.FullWATClient
assert errors.ZeroJobError is crawlingathome.ZeroJobError and init is crawlingathome.init
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=pathlib.Path(__file__).parents[1])


def test_the_conformance_table_is_true():
    """Each name of the client of old stands in the README's table, and each test that it names is."""
    here = pathlib.Path(__file__).parent
    table = (here.parent / "README.md").read_text().split("and its test\n")[1].split("\n## ")[0]
    tests = {
        name
        for file in here.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", table))
    assert named and named <= tests
    of_old = {
        name
        for client in (*TYPES.values(), cah.FullWATClient)
        for name in dir(client)
        # Those of today are the same methods.
        if name in ("_markjobasdone", "dump", "log", "bye", "recreate") or name != name.lower()
        if not name.startswith("__")
    }
    of_old -= {"downloadWat", "completeJob"}  # which stand there with what they take
    missing = {name for name in of_old if not re.search(rf"\b{name}\b", table)}
    assert missing == set()
