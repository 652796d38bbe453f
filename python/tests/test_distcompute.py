"""The public DistCompute client, as it comes from the registry, against this tracker."""

import distcompute_client as dc
import pytest
from distcompute_client.errors import WorkerTimedOutError, ZeroJobError

from conftest import Tracker, cah


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
