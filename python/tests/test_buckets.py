"""`cah run` and `cah wat` from bucket to bucket, over HTTP, interrupted and continued; and the ways
to open a dataset that the program prints, followed to the letter."""

import ast
import json
import os
import secrets
import signal
import subprocess
import time

import pandas as pd
import pytest

import mini_crawl
from conftest import BUCKET, Dataset, cah

PATIENCE = 120


@pytest.fixture
def images():
    images = mini_crawl.Images()
    yield images
    images.gate.set()
    images.shutdown()


@pytest.fixture
def upload(server):
    def upload(name, body):
        server.client.put_object(Bucket=BUCKET, Key=name, Body=body)
        return f"s3://{BUCKET}/{name}"

    return upload


def interrupted(arguments, environment, when):
    """Runs the program and interrupts it as soon as `when`; returns what it says on stderr."""
    process = subprocess.Popen(
        [os.environ["CAH_BIN"], *map(str, arguments)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE
    while not when():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, errors
    return errors


def test_a_run_from_bucket_to_bucket_continues_there(server, images, upload, tmp_path):
    wats = [upload(f"wat/{name}.wat.gz", mini_crawl.wat(images, name)) for name in ("now", "late")]
    dataset = Dataset(f"s3://{BUCKET}/continued", server)
    arguments = ["run", *wats, "--out", dataset.root, *mini_crawl.FLAGS]
    manifests = [f"continued/stats/{number:09}.json" for number in (1, 2, 3, 4)]
    first, second = manifests[:2]

    errors = interrupted(arguments, server.environment, lambda: server.keys(second))
    assert "the same command continues" in errors
    assert server.unfinished_uploads() == []
    assert server.keys("continued/stats/") == [first, second]
    written = server.client.head_object(Bucket=BUCKET, Key=second)["LastModified"]

    images.gate.set()
    table = tmp_path / "table.json"
    printed = cah(*arguments, "--json", table, **server.environment)
    assert "  there already" in printed
    table = json.loads(table.read_text())
    pairs = 2 * 12 * len(mini_crawl.FORMATS)
    assert (table["pairs"], table["there_already"]) == (pairs, {"shards": 2, "pairs": pairs // 2})
    assert server.client.head_object(Bucket=BUCKET, Key=second)["LastModified"] == written
    assert server.keys("continued/stats/") == manifests
    tables = [
        pd.read_parquet(url, storage_options=dataset.options)
        for url in dataset.urls("metadata/*.parquet")
    ]
    urls = pd.concat(tables)["URL"]
    assert len(urls) == pairs and urls.is_unique


def test_links_go_from_bucket_to_bucket(server, images, upload):
    wat = upload("wat/links.wat.gz", mini_crawl.wat(images, "links"))
    table = f"s3://{BUCKET}/links.parquet"
    cah("wat", wat, "-o", table, **server.environment)
    links = pd.read_parquet(table, storage_options=server.fsspec_options)
    assert len(links) == 12 * len(mini_crawl.FORMATS)


def test_an_interrupted_table_leaves_no_parts(server, images, tmp_path):
    """Long enough to go up in parts; then a file that does not come."""
    link = lambda: {"path": "IMG@/src", "url": "http://a.test/b.jpg", "alt": secrets.token_hex(400)}
    long = tmp_path / "long.wat.gz"
    long.write_bytes(
        b"".join(mini_crawl.record("http://a.test/", [link() for _ in range(100)]) for _ in range(400))
    )
    arguments = ["wat", long, f"{images.url}/late/never.jpg", "-o", f"s3://{BUCKET}/parts.parquet"]
    errors = interrupted(arguments, server.environment, server.unfinished_uploads)
    assert "nothing was written" in errors
    assert server.unfinished_uploads() == []


def value(code):
    """Runs lines of Python as they are pasted; returns the value of the last one."""
    *statements, last = ast.parse(code).body
    names = {}
    exec(compile(ast.Module(statements, []), "pasted", "exec"), names)
    return eval(compile(ast.Expression(last.value), "pasted", "eval"), names)


@pytest.mark.parametrize("where", ["folder", "bucket"])
@pytest.mark.parametrize("mode", ["keep_ratio:64", "original", "none"])
def test_datasets_open_as_the_program_says(where, mode, server, images, tmp_path, monkeypatch):
    for name, setting in server.environment.items():
        monkeypatch.setenv(name, setting)
    wat = tmp_path / "a.wat.gz"
    wat.write_bytes(mini_crawl.wat(images, "now", pages=4))
    name = f"opened-{mode.replace(':', '-')}"
    out = tmp_path / name if where == "folder" else f"s3://{BUCKET}/{name}"
    printed = cah("run", wat, "--out", out, "--images", mode, *mini_crawl.FLAGS)

    _, ways = printed.split("Ways to open it in Python:\n")
    ways = [line.strip() for line in ways.splitlines()]
    pairs = 4 * len(mini_crawl.FORMATS)
    assert len(value(ways.pop(0))) == pairs
    if mode == "none":
        assert len(ways) == 1 and "not stored" in ways[0]
        return
    sizes = [image.size for image, text in value("\n".join(ways)) if text.startswith("picture")]
    assert sizes == [(128, 96) if mode == "original" else (85, 64)] * pairs
