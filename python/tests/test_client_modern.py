"""The client's newer face: names, loops over jobs, asyncio, threads, forks."""

import asyncio
import multiprocessing
import os
import threading
import time

import crawlingathome as cah
import pytest
from conftest import Tracker

OLD_AND_NEW = {
    "jobCount": "job_count",
    "newJob": "new_job",
    "downloadShard": "download_shard",
    "completeJob": "complete_job",
    "isAlive": "is_alive",
    "updateUploadServer": "update_upload_server",
}


@pytest.fixture
def tracker(tmp_path):
    paths = tmp_path / "wat.paths"
    paths.write_text("\n".join(f"crawl-data/{i}.warc.wat.gz" for i in range(20)))
    with Tracker(tmp_path, ["--wat-paths", paths]) as tracker:
        yield tracker


def closed(tracker):
    return int(tracker.get("/data").json()["completion_str"].split(" ")[0])


@pytest.mark.parametrize("client", [cah.HybridClient, cah.CPUClient, cah.GPUClient])
def test_names_of_today(client):
    names = dict(OLD_AND_NEW, invalidURL="invalid_url") if client is cah.GPUClient else OLD_AND_NEW
    for old, new in names.items():
        assert getattr(client, old) is getattr(client, new), new


def test_with_says_bye(tracker):
    with cah.init(tracker.url, "ada") as client:
        client.newJob()
        assert tracker.get("/api/jobCount").text == "39"
    assert not client.isAlive()
    assert tracker.get("/api/jobCount").text == "40"
    with pytest.raises(RuntimeError):
        with cah.init(tracker.url, "ada") as client:
            raise RuntimeError
    assert not client.isAlive()


def test_a_loop_over_jobs(tracker):
    with cah.init(tracker.url, "ada") as client:
        numbers = []
        for job in client.jobs():
            assert isinstance(job, cah.HybridJob)
            assert (job.url, job.start_id) == (client.shard, client.start_id)
            job.log(f"job {job.number}")
            job.complete(1)
            assert job.is_done
            numbers.append(job.number)
    assert numbers == list(range(1, 41))
    assert closed(tracker) == 40


def test_a_job_that_is_left_goes_back_or_counts_as_failed(tracker):
    client = cah.init(tracker.url, "ada")
    jobs = client.jobs()
    first = next(jobs)
    second = next(jobs)
    # The first one failed: it goes behind those that did not.
    assert second.number != first.number and first.is_done
    jobs.close()
    assert second.is_done
    assert tracker.get("/api/jobCount").text == "40"
    # What went back is the next one's.
    assert next(client.jobs()).number == second.number


def test_the_old_way_and_jobs_get_along(tracker):
    client = cah.init(tracker.url, "ada", "CPU")
    for job in client.jobs():
        client.completeJob(f"http://127.0.0.1:9/{job.number}.tar")
        assert job.is_done
        if job.number == 3:
            break
    assert tracker.get("/api/jobCount", type="GPU").text == "3"


def test_jobs_are_waited_for(tracker):
    def hand_over_later():
        time.sleep(0.5)
        with cah.init(tracker.url, "bob", "CPU") as cpu:
            cpu.newJob()
            cpu.completeJob("http://127.0.0.1:9/x.tar")

    later = threading.Thread(target=hand_over_later)
    later.start()
    gpu = cah.init(tracker.url, "ada", "GPU")
    for job in gpu.jobs(wait=0.05):
        job.complete(1)
        break
    later.join()
    assert closed(tracker) == 1


def test_a_job_may_fail(tracker):
    client = cah.init(tracker.url, "ada")
    jobs = client.jobs()
    job = next(jobs)
    job.fail("no such file")
    assert job.is_done
    with pytest.raises(cah.ZeroJobError):
        client.completeJob(1)
    assert tracker.get("/api/jobCount").text == "40"


def test_asyncio(tracker):
    async def work(name):
        done = 0
        async with cah.AsyncClient.connect(tracker.url, name, "h") as client:
            assert client.nickname == name and await client.is_alive()
            async for job in client.jobs():
                await job.log("at it")
                await job.complete(1)
                done += 1
        assert not await client.is_alive()
        return done

    async def main():
        return await asyncio.gather(*(work(f"worker {n}") for n in range(8)))

    done = asyncio.run(main())
    assert sum(done) == 40 and closed(tracker) == 40


def test_asyncio_hands_over_and_flags(tracker):
    async def main():
        cpu = await cah.AsyncClient.connect(tracker.url, "ada", cah.CPUClient)
        job = await cpu.new_job()
        await job.complete("http://127.0.0.1:9/x.tar")
        assert (await cpu.update_upload_address()).startswith(tracker.url)
        gpu = await cah.AsyncClient.connect(tracker.url, "ada", "GPU")
        assert await gpu.job_count() == 1
        await (await gpu.new_job()).flag_invalid()
        assert await gpu.job_count() == 0
        with pytest.raises(cah.ZeroJobError):
            await gpu.new_job()
        async for job in cpu.jobs():
            await job.fail("cannot")
            break
        with pytest.raises(cah.ServerError):
            away = cah.AsyncClient.connect(
                "http://127.0.0.1:1", settings=cah.Settings(connect_deadline=0)
            )
            await away

    asyncio.run(main())


def test_asyncio_calls_can_be_cancelled():
    async def main():
        await asyncio.wait_for(cah.AsyncClient.connect("http://127.0.0.1:1"), timeout=0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())


def test_one_client_in_many_threads(tracker):
    client = cah.init(tracker.url, "ada")
    errors = []

    def talk(number):
        try:
            for turn in range(20):
                client.log(f"{number} at {turn}")
                assert client.jobCount() > 0 and client.isAlive()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        client.newJob()
        client.completeJob(1)
    for thread in threads:
        thread.join()
    assert not errors and closed(tracker) == 10


def test_a_call_leaves_the_interpreter_to_others():
    counted = []

    def count():
        for _ in range(20):
            time.sleep(0.01)
            counted.append(1)

    counting = threading.Thread(target=count)
    counting.start()
    with pytest.raises(cah.ServerError):
        cah.init("http://127.0.0.1:1", settings=cah.Settings(connect_deadline=1))
    assert counted
    counting.join()


def complete_in_child(client, number, answers):
    client.log(f"child {number}")
    client.completeJob(number)
    answers.put(client.display_name)


def test_a_forked_process_goes_on_with_the_worker(tracker):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    clients = [cah.init(tracker.url, "ada") for _ in range(4)]
    for client in clients:
        client.newJob()
    children = [
        context.Process(target=complete_in_child, args=(client, number, answers))
        for number, client in enumerate(clients)
    ]
    for child in children:
        child.start()
    names = {answers.get(timeout=60) for _ in children}
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert names == {client.display_name for client in clients}
    assert closed(tracker) == 4
    # The parent has its own connections still.
    for client in clients:
        client.newJob()
        client.completeJob(1)
    assert closed(tracker) == 8


def test_a_child_that_ends_leaves_the_job_to_its_parent(tracker):
    client = cah.init(tracker.url, "ada")
    client.newJob()
    child = os.fork()
    if child == 0:
        # As a script ends, destructors and all, but not the test runner.
        del client
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.completeJob(5)
    assert closed(tracker) == 1


def test_a_client_that_goes_leaves_the_job_to_its_dump(tracker):
    client = cah.init(tracker.url, "ada")
    client.newJob()
    dumped = client.dump()
    del client
    loaded = cah.load(**dumped)
    loaded.completeJob(5)
    assert closed(tracker) == 1
