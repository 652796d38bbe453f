"""`downloadShard` and uploads, between real servers, trackers and archives."""

import gzip
import io
import json
import logging
import os
import pathlib
import resource
import subprocess
import sys
import tarfile
import urllib.request

import crawlingathome as cah
import pytest
from conftest import REPOSITORY, Tracker
from mini_crawl import record
from odd_servers import say, server

WHIRLWIND = REPOSITORY / "crates/cah-wat/tests/data/whirlwind.warc.wat.gz"


@pytest.fixture(scope="module")
def wat():
    """A WAT file of many members, and what it inflates to."""
    packed = b"".join(
        record(f"http://pages.example.org/{page}.html", [{"path": "IMG@/src", "url": f"/{page}.jpg"}])
        for page in range(300)
    )
    return packed, gzip.decompress(packed)


@pytest.fixture
def files():
    """A file server: what is put into the dictionary is served, by ranges if wanted."""
    held = {}

    def answer(request):
        body = held.get(request.path)
        if body is None:
            return say(request, 404, "there is no such file")
        if callable(body):
            return body(request)
        wanted = request.headers.get("Range")
        if wanted is None:
            return say(request, 200, body)
        start = int(wanted.removeprefix("bytes=").rstrip("-").split("-")[0])
        request.send_response(206)
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body[start:])

    with server(answer) as url:
        held["url"] = url
        yield held


@pytest.fixture
def tracker(tmp_path, files):
    """Two shards of one WAT file, which `files` serves."""
    paths = tmp_path / "wat.paths"
    paths.write_text("x.warc.wat.gz")
    jobs = ["--wat-paths", paths, "--base-url", files["url"]]
    with Tracker(tmp_path, jobs, "--flag-reports=1") as tracker:
        yield tracker


def join(tracker, type="HYBRID", **settings):
    client = cah.init(tracker.url, "ada", type, settings=cah.Settings(**settings))
    client.newJob()
    return client


def test_the_example_of_the_readme_runs_as_written(tracker, files, wat, tmp_path, monkeypatch):
    """The seed's, with a `while` that ends: every shard is downloaded, worked on and completed."""
    files["/x.warc.wat.gz"], inflated = wat
    monkeypatch.chdir(tmp_path)
    nickname, num_pairs_found = "TheoCoombes", 21

    client = cah.init(url=tracker.url, nickname=nickname, type="HYBRID")

    while client.jobCount() > 0 and client.isAlive():
        client.newJob()
        client.downloadShard()
        # Saved shard at ./shard.wat

        processing_shard = 2
        while processing_shard:
            # ... process data
            assert pathlib.Path("shard.wat").read_bytes() == inflated
            processing_shard -= 1

            client.log("Completed x / y images")  # Updates the client's progress to the server

        client.completeJob(num_pairs_found)

    client.bye()
    told = tracker.get("/data").json()
    assert (told["completion_str"], told["total_pairs_scraped"]) == ("2 / 2", 42)
    assert not client.isAlive()


@pytest.mark.parametrize("type", ["HYBRID", "CPU"])
def test_the_whole_wat_is_written_inflated(tracker, files, wat, type, tmp_path, monkeypatch):
    files["/x.warc.wat.gz"], inflated = wat
    client = join(tracker, type)
    folder = tmp_path / "made" / "anew"
    client.downloadShard(folder)
    assert (folder / "shard.wat").read_bytes() == inflated
    assert os.listdir(folder) == ["shard.wat"]
    # As the old workers call it: the folder where they are, with a slash or without.
    monkeypatch.chdir(tmp_path)
    client.downloadShard()
    client.downloadShard("made/")
    assert pathlib.Path("shard.wat").read_bytes() == inflated
    assert pathlib.Path("made/shard.wat").read_bytes() == inflated


def test_a_script_of_old_that_halves_by_lines_has_both_halves(tracker, files, wat, tmp_path):
    """The old workers cut the lines of the whole file in two."""
    files["/x.warc.wat.gz"], inflated = wat
    halves = []
    for _ in range(2):
        client = join(tracker)
        client.downloadShard(tmp_path)
        lines = (tmp_path / "shard.wat").read_bytes().splitlines(keepends=True)
        middle = len(lines) // 2
        halves.append(b"".join(lines[:middle] if client.shard_piece == 0 else lines[middle:]))
        client.completeJob(1)
    assert b"".join(halves) == inflated


def test_a_piece_is_what_cah_reads(tracker, files, wat, tmp_path):
    files["/x.warc.wat.gz"], inflated = wat
    packed, pieces = wat[0], []
    for piece in range(2):
        client = join(tracker)
        assert client.shard_piece == piece
        client.downloadShard(tmp_path / str(piece), piece_only=True)
        pieces.append((tmp_path / str(piece) / "shard.wat").read_bytes())
        client.completeJob(1)
    assert b"".join(pieces) == inflated
    assert abs(len(pieces[0]) - len(pieces[1])) < len(inflated) / 20
    # Each record is whole, and belongs to the half in which its gzip member begins.
    assert all(piece.startswith(b"WARC/1.0\r\n") for piece in pieces)
    reader, begun = io.BytesIO(packed), 0
    for member in packed.split(b"\x1f\x8b\x08")[1:]:
        begun += reader.tell() < len(packed) / 2
        reader.seek(3 + len(member), io.SEEK_CUR)
    assert pieces[0].count(b"WARC/1.0\r\n") == begun


def test_a_genuine_wat(tracker, files, tmp_path):
    files["/x.warc.wat.gz"] = WHIRLWIND.read_bytes()
    join(tracker).downloadShard(tmp_path)
    assert (tmp_path / "shard.wat").read_bytes() == gzip.decompress(WHIRLWIND.read_bytes())


def test_a_transfer_that_breaks_is_taken_up(tracker, files, wat, tmp_path):
    packed, inflated = wat
    starts = []

    def cut(request):
        """A tenth of the file at a time, then the connection goes."""
        if request.command == "HEAD":
            return say(request, 200, packed)
        wanted = request.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        starts.append(start)
        request.send_response(206)
        request.send_header("Content-Length", str(len(packed) - start))
        request.send_header("Content-Range", f"bytes {start}-{len(packed) - 1}/{len(packed)}")
        request.end_headers()
        request.wfile.write(packed[start : start + len(packed) // 10])
        request.close_connection = True

    files["/x.warc.wat.gz"] = cut
    join(tracker).downloadShard(tmp_path)
    assert (tmp_path / "shard.wat").read_bytes() == inflated
    assert len(set(starts)) >= 8 and starts == sorted(starts)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda packed: packed[:-7], "damaged|truncated|ends"),
        (lambda packed: packed[: len(packed) // 2] + b"\0" * 40, "damaged|ends"),
        (lambda packed: b"<html>moved</html>", "is no WAT file"),
    ],
)
def test_no_partial_file_has_the_name(tracker, files, wat, tmp_path, damage, words):
    files["/x.warc.wat.gz"] = damage(wat[0])
    (tmp_path / "out").mkdir()
    with pytest.raises(cah.DownloadError, match=words):
        join(tracker).downloadShard(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_a_download_tells_how_far_it_is(tracker, files, wat, tmp_path, caplog):
    packed, _ = wat
    large = b"".join([packed] * 200)
    files["/x.warc.wat.gz"] = large
    with caplog.at_level(logging.INFO, "crawlingathome"):
        join(tracker).downloadShard(tmp_path)
    told = [line for line in caplog.messages if line.startswith("downloaded ")]
    # How many depends on the parts in which it came.
    tenths = [f"downloaded {tenth}0 % of the shard" for tenth in range(1, 10)]
    assert told and told == sorted(set(told)) and set(told) <= set(tenths), caplog.messages


def test_a_file_that_is_not_there(tracker, tmp_path):
    with pytest.raises(cah.DownloadError, match="there is no file at"):
        join(tracker).downloadShard(tmp_path)


def test_without_a_job_there_is_nothing_to_download(tracker, tmp_path):
    client = cah.init(tracker.url)
    with pytest.raises(cah.ZeroJobError, match="newJob"):
        client.downloadShard(tmp_path)


FULL = """
import json, resource, sys, crawlingathome as cah
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    cah.load(**json.loads(sys.argv[1])).downloadShard(sys.argv[2])
except OSError as error:
    print(type(error).__name__, error.errno, error.filename)
"""


def test_a_disk_that_takes_no_more_is_an_os_error(tracker, files, wat, tmp_path):
    files["/x.warc.wat.gz"], _ = wat
    client = join(tracker)
    # The limit for files is of a program of its own: it is for good.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
    out = tmp_path / "out"
    command = [sys.executable, "-c", FULL, json.dumps(client.dump()), str(out)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert told.stdout.startswith("OSError 27 "), told
    assert str(out) in told.stdout
    assert os.listdir(out) == []


def test_a_folder_that_cannot_be_made_is_an_os_error(tracker, files, wat, tmp_path):
    files["/x.warc.wat.gz"], _ = wat
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError) as trouble:
        join(tracker).downloadShard(tmp_path / "file")
    assert trouble.value.filename.startswith(str(tmp_path / "file"))


def test_a_whole_wat_client_downloads_its_file(tracker, files, wat, tmp_path):
    files["/x.warc.wat.gz"], inflated = wat
    client = cah.FullWATClient(tracker.url)
    with pytest.raises(cah.ZeroJobError):
        client.downloadWat(tmp_path)
    client.newJob()
    client.downloadWat(tmp_path)
    assert (tmp_path / "shard.wat").read_bytes() == inflated


# What is handed over.


def archive(*entries, mode="w"):
    """A tar of names and texts; or of a `TarInfo` that does something else."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, text in entries:
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


GOOD = [("images/0.jpg", "zero"), ("images/1.jpg", "one"), ("candidates.parquet", "table")]


def hand_over(tracker, url):
    cpu = join(tracker, "CPU")
    cpu.completeJob(url)
    cpu.bye()


def contents(folder):
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("place", ["http", "file", "staging", "rsync"])
def test_a_gpu_worker_extracts_what_was_handed_over(tracker, files, tmp_path, mode, place):
    packed = archive(*GOOD, mode=mode)
    url = f"{files['url']}/x.tar"
    if place == "http":
        files["/x.tar"] = packed
    elif place == "file":
        (tmp_path / "x.tar").write_bytes(packed)
        url = f"file://{tmp_path}/x.tar"
    else:
        (tmp_path / "x.tar").write_bytes(packed)
        cpu = join(tracker, "CPU")
        url = cpu.upload(tmp_path / "x.tar")
        assert url.startswith(f"{tracker.url}/staging/")
        if place == "rsync":
            url = "rsync " + url.rsplit("/", 1)[1]
        cpu.completeJob(url)
        cpu.bye()
    if place in ("http", "file"):
        hand_over(tracker, url)
    gpu = join(tracker, "GPU")
    gpu.downloadShard(tmp_path / "images here")
    assert contents(tmp_path / "images here") == dict(GOOD)
    gpu.completeJob(2)


def test_the_upload_address_takes_what_curl_sends(tracker, tmp_path):
    """A person's own script, without any client library."""
    cpu = join(tracker, "CPU")
    request = urllib.request.Request(cpu.upload_address, archive(*GOOD), method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        cpu.completeJob(answer.read().decode().strip())
    gpu = join(tracker, "GPU")
    gpu.downloadShard(tmp_path / "out")
    assert contents(tmp_path / "out") == dict(GOOD)


def link(name, target, kind):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return (entry, "")


HOSTILE = {
    "outside": archive(("images/0.jpg", "fine"), ("../outside.txt", "x")),
    "absolute": archive(("/tmp/cah-outside.txt", "x")),
    "link": archive(link("images", "/tmp", tarfile.SYMTYPE), ("images/0.jpg", "x")),
    "hard link": archive(link("passwd", "/etc/passwd", tarfile.LNKTYPE)),
    "device": archive(link("null", "", tarfile.CHRTYPE)),
    "twice": archive(("a.jpg", "x"), ("a.jpg", "y")),
    "cut": archive(*GOOD)[:700],
    "no archive": b"<html>gone</html>" * 100,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_that_cannot_be_used_is_flagged_and_raised(tracker, files, tmp_path, kind):
    files["/x.tar"] = HOSTILE[kind]
    hand_over(tracker, f"{files['url']}/x.tar")
    gpu = join(tracker, "GPU")
    out = tmp_path / "deep" / "out"
    with pytest.raises(cah.InvalidURLError):
        gpu.downloadShard(out)
    assert contents(tmp_path / "deep") == {}
    assert gpu.jobCount() == 0 and cah.init(tracker.url).jobCount() == 2


@pytest.mark.parametrize("url", ["gone", "ftp://x/y.tar", "rsync ../../etc/passwd", "my pictures"])
def test_a_url_that_cannot_be_used_is_flagged_and_raised(tracker, files, tmp_path, url):
    hand_over(tracker, f"{files['url']}/gone.tar" if url == "gone" else url)
    gpu = join(tracker, "GPU")
    with pytest.raises(cah.InvalidURLError):
        gpu.downloadShard(tmp_path / "out")
    assert gpu.jobCount() == 0 and cah.init(tracker.url).jobCount() == 2


def test_what_is_this_machines_trouble_is_not_flagged(tracker, files, tmp_path):
    files["/x.tar"] = archive(*GOOD)
    hand_over(tracker, f"{files['url']}/x.tar")
    gpu = join(tracker, "GPU", allow_private_addresses=False)
    with pytest.raises(cah.DownloadError, match="not on the public Internet"):
        gpu.downloadShard(tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    other = cah.load(**gpu.dump())
    with pytest.raises(OSError):
        other.downloadShard(tmp_path / "file")
    # Nobody else is told that it is bad.
    other.downloadShard(tmp_path / "out")
    assert contents(tmp_path / "out") == dict(GOOD)
    other.completeJob(1)


def test_jobs_have_their_files(tracker, files, wat, tmp_path):
    files["/x.warc.wat.gz"], inflated = wat
    for job in cah.init(tracker.url, "ada", "CPU").jobs():
        path = job.download(tmp_path / str(job.number))
        assert path == tmp_path / str(job.number) / "shard.wat"
        assert path.read_bytes() == inflated
        (tmp_path / "x.tar").write_bytes(archive(*GOOD))
        job.complete(job.upload(tmp_path / "x.tar"))
    for job in cah.init(tracker.url, "ada", "GPU").jobs():
        folder = job.download(tmp_path / f"gpu {job.number}")
        assert contents(folder) == dict(GOOD)
        job.complete(3)
    assert tracker.get("/data").json()["completion_str"] == "2 / 2"
