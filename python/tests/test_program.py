"""What the program writes, opened by the tools that people use: from `cah demo` into an
S3-compatible bucket, and from `cah wat`."""

import json
import os

import numpy as np
import pyarrow.parquet as pq

from conftest import BUCKET, Dataset, cah

CC2DATASET = ["uid", "url", "alt", "cc_filename", "page_url"]


def test_the_demo_writes_to_a_bucket(server, tmp_path):
    dataset = Dataset(f"s3://{BUCKET}/demo", server)
    table = tmp_path / "table.json"
    cah("demo", "--out", dataset.root, "--json", table, **server.environment)
    table = json.loads(table.read_text())

    names = dataset.names()
    manifests = [dataset.json(name) for name in names if name.startswith("stats/")]
    assert len(manifests) == 4
    for manifest in manifests:
        assert sum(manifest["outcomes"].values()) == manifest["candidates"]
        for name, entry in manifest["files"].items():
            assert len(dataset.read(name)) == entry["size"]
    pairs = sum(manifest["pairs"] for manifest in manifests)
    assert pairs == table["pairs"] > 0
    assert server.unfinished_uploads() == []
    tables = [pq.read_table(dataset.filesystem.open(url)) for url in dataset.urls("metadata/*")]
    assert sum(table.num_rows for table in tables) == pairs


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
