"""What the program writes, opened by the tools that people use: from `cah demo` into an
S3-compatible bucket, and from `cah wat`."""

import json
import os
import subprocess

import boto3
import numpy as np
import pyarrow.parquet as pq
import pyarrow.fs
import pytest
from moto.server import ThreadedMotoServer

CC2DATASET = ["uid", "url", "alt", "cc_filename", "page_url"]


@pytest.fixture(scope="module")
def bucket():
    """A bucket behind HTTP, and the environment that leads there."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="datasets")
    yield client, environment
    server.stop()


def cah(*arguments, **environment):
    command = [os.environ["CAH_BIN"], *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_demo_writes_to_a_bucket(bucket, tmp_path):
    client, environment = bucket
    table = tmp_path / "table.json"
    cah("demo", "--out", "s3://datasets/demo", "--json", table, **environment)
    table = json.loads(table.read_text())

    listed = client.list_objects_v2(Bucket="datasets", Prefix="demo/")["Contents"]
    keys = {entry["Key"]: entry["Size"] for entry in listed}
    manifests = [key for key in keys if key.startswith("demo/stats/")]
    assert len(manifests) == 4
    pairs = 0
    for key in manifests:
        manifest = json.loads(client.get_object(Bucket="datasets", Key=key)["Body"].read())
        assert sum(manifest["outcomes"].values()) == manifest["candidates"]
        for name, entry in manifest["files"].items():
            assert keys[f"demo/{name}"] == entry["size"]
        pairs += manifest["pairs"]
    assert pairs == table["pairs"] > 0
    assert client.list_multipart_uploads(Bucket="datasets").get("Uploads", []) == []

    filesystem = pyarrow.fs.S3FileSystem(
        access_key="test",
        secret_key="test",
        region="us-east-1",
        scheme="http",
        endpoint_override=environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
    )
    rows = pq.read_table("datasets/demo/metadata", filesystem=filesystem)
    assert rows.num_rows == pairs


def test_wat_tables_begin_like_those_of_cc2dataset(tmp_path):
    wat = os.path.join(os.path.dirname(__file__), "../../crates/cah-wat/tests/data")
    wats = sorted(os.path.join(wat, name) for name in os.listdir(wat) if name.endswith(".wat.gz"))
    assert wats
    raw, judged = tmp_path / "raw.parquet", tmp_path / "judged.parquet"
    cah("wat", *wats, "--raw", "-o", raw)
    cah("wat", *wats, "-o", judged)
    assert pq.read_schema(raw).names == CC2DATASET
    assert pq.read_schema(judged).names[:5] == CC2DATASET
    assert len(pq.read_schema(judged).names) > 5


def test_similarity_is_the_cosine_of_the_embeddings(tmp_path):
    out = tmp_path / "out"
    cah("demo", "--out", out, "--seed", 2)
    for table in sorted((out / "metadata").iterdir()):
        number = table.stem.removeprefix("metadata_")
        similarity = pq.read_table(table)["similarity"].to_numpy()
        images = np.load(out / f"img_emb/img_emb_{number}.npy").astype(np.float32)
        texts = np.load(out / f"text_emb/text_emb_{number}.npy").astype(np.float32)
        assert np.allclose((images * texts).sum(axis=1), similarity, atol=2e-3)
