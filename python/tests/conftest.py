"""What the tests share: the program, an S3 server over HTTP, and small real datasets in a folder
and behind that server."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

# Set before `datasets` is imported: it would tell its makers about each file that it loads.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"

import boto3
import fsspec
import pytest
import requests
from moto.server import ThreadedMotoServer

REPOSITORY = pathlib.Path(__file__).parents[2]
BUCKET = "crawl"


@dataclass
class Server:
    """An S3 server on this machine."""

    endpoint: str

    @property
    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="user",
            aws_secret_access_key="secret",
        )

    @property
    def environment(self):
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "user",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def keys(self, prefix):
        """The objects whose names begin so."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def unfinished_uploads(self):
        return self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    @property
    def fsspec_options(self):
        return {"key": "user", "secret": "secret", "endpoint_url": self.endpoint}


@dataclass
class Dataset:
    """Where a sample lies, and how the readers get there."""

    root: str
    server: Server | None = None

    @property
    def options(self):
        """What fsspec needs to know, fresh for each reader: some write into it."""
        return {} if self.server is None else self.server.fsspec_options

    @property
    def filesystem(self):
        return fsspec.core.url_to_fs(self.root, **self.options)[0]

    def url(self, name):
        return f"{self.root}/{name}"

    def urls(self, pattern):
        """The addresses of the files that match, in order."""
        found = sorted(self.filesystem.glob(self.url(pattern).removeprefix("s3://")))
        return [path if self.server is None else f"s3://{path}" for path in found]

    def read(self, name):
        return self.filesystem.cat_file(self.url(name))

    def json(self, name):
        return json.loads(self.read(name))

    def names(self):
        """Every file, relative to the dataset."""
        root = self.root.removeprefix("s3://")
        found = self.filesystem.find(root)
        return sorted(path.removeprefix(root + "/") for path in found)


def cah(*arguments, **environment):
    """Runs the program, which has to succeed; returns what it printed."""
    command = [os.environ["CAH_BIN"], *map(str, arguments)]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program ended early"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


class Tracker:
    """A tracker on a store of its own, with the jobs that were imported. It serves within `with`,
    which may be entered again."""

    def __init__(self, folder, jobs, *flags):
        self.store = f"sqlite:{folder / 'tracker.db'}"
        cah("tracker", "import", "--store", self.store, *jobs)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [os.environ["CAH_BIN"], "tracker", "serve", "--store", self.store]
        self.command += ["--listen", f"127.0.0.1:{self.port}", *flags]

    def __enter__(self):
        self.process = subprocess.Popen(self.command)
        wait_for(f"{self.url}/healthz", self.process)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0

    def get(self, path, **query):
        return requests.get(self.url + path, params=query, timeout=30)

    def post(self, path, **fields):
        return requests.post(self.url + path, json=fields, timeout=30)


@pytest.fixture(scope="session")
def sample():
    """Runs the crate's example `sample` with these arguments; fails with what it says."""
    program = os.environ.get("CAH_SAMPLE_BIN") or built_sample()

    def run(*arguments, check=True, **environment):
        command = [program, *map(str, arguments)]
        environment = {**os.environ, **environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stderr
        return done

    return run


def built_sample():
    command = "cargo build --package cah-dataset --example sample --message-format json"
    built = subprocess.run(command.split(), cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    messages = map(json.loads, built.stdout.splitlines())
    programs = [message["executable"] for message in messages if message.get("executable")]
    return programs[-1]


@pytest.fixture(scope="session")
def server():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = Server(f"http://{host}:{port}")
    found.client.create_bucket(Bucket=BUCKET)
    yield found
    server.stop()


@pytest.fixture(scope="session")
def folder_dataset(sample, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("sample") / "out 1")
    sample(root)
    return Dataset(root)


@pytest.fixture(scope="session")
def bucket_dataset(sample, server):
    root = f"s3://{BUCKET}/a/sample"
    sample(root, **server.environment)
    return Dataset(root, server)


@pytest.fixture(params=["folder", "bucket"])
def dataset(request):
    """The same sample, once in a folder and once in a bucket."""
    return request.getfixturevalue(f"{request.param}_dataset")
