"""Datasets of the crate `cah-dataset`, opened by the tools that people use, from a folder and
from an S3 server over HTTP. No reader is helped along: each gets the paths and nothing else."""

import hashlib
import io
import json

import datasets
import duckdb
import fsspec
import mmh3
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import webdataset
from embedding_reader import EmbeddingReader
from PIL import Image

from conftest import BUCKET, Dataset

SHARDS = {1: 12, 3: 5}
PAIRS = sum(SHARDS.values())
DIM = 8

COLUMNS = {
    "SAMPLE_ID": pa.int64(),
    "URL": pa.string(),
    "TEXT": pa.string(),
    "HEIGHT": pa.int32(),
    "WIDTH": pa.int32(),
    "LICENSE": pa.string(),
    "NSFW": pa.string(),
    "similarity": pa.float64(),
    "LANGUAGE": pa.string(),
    "key": pa.string(),
    "hash": pa.int64(),
    "uid": pa.string(),
    "page_url": pa.string(),
    "wat": pa.string(),
    "original_height": pa.int32(),
    "original_width": pa.int32(),
    "mime": pa.string(),
    "sha256": pa.string(),
    "md5": pa.string(),
    "pdq": pa.binary(32),
    "punsafe": pa.float32(),
    "pwatermark": pa.float32(),
    "aesthetic": pa.float32(),
}


def embedding(seed):
    """What the sample gives the pair of this index."""
    values = np.array([(seed * 5 + i * 3) % 13 - 5.5 for i in range(DIM)], dtype=np.float32)
    return values / np.sqrt((values * values).sum())


def expected_indices():
    """The index in its shard of each pair, in the dataset's order."""
    return [3 * i for count in SHARDS.values() for i in range(count)]


def arrow_filesystem(dataset):
    """Arrow's own S3 client, which is another one than fsspec's."""
    if dataset.server is None:
        return pyarrow.fs.LocalFileSystem()
    return pyarrow.fs.S3FileSystem(
        access_key="user",
        secret_key="secret",
        region="us-east-1",
        endpoint_override=dataset.server.endpoint,
    )


def arrow_path(dataset, name):
    return dataset.url(name).removeprefix("s3://")


def table(dataset):
    return pq.read_table(arrow_path(dataset, "metadata"), filesystem=arrow_filesystem(dataset))


# What is there


def test_files_are_those_of_the_layout(dataset):
    of_shards = [
        name
        for number in SHARDS
        for name in (
            f"images/{number:09}.tar",
            f"metadata/metadata_{number:09}.parquet",
            f"img_emb/img_emb_{number:09}.npy",
            f"text_emb/text_emb_{number:09}.npy",
        )
    ]
    manifests = [f"stats/{number:09}.json" for number in (1, 2, 3)]
    assert dataset.names() == sorted(of_shards + manifests)


def test_manifests_describe_every_file(dataset):
    for number, pairs in {**SHARDS, 2: 0}.items():
        manifest = dataset.json(f"stats/{number:09}.json")
        assert (manifest["number"], manifest["pairs"]) == (number, pairs)
        assert manifest["candidates"] == sum(manifest["outcomes"].values()) == 3 * pairs
        assert manifest["outcomes"].get("kept", 0) == pairs
        assert len(manifest["files"]) == (4 if pairs else 0)
        for name, entry in manifest["files"].items():
            content = dataset.read(name)
            assert entry == {
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }


def test_folder_and_bucket_have_the_same_bytes(folder_dataset, bucket_dataset):
    assert folder_dataset.names() == bucket_dataset.names()
    for name in folder_dataset.names():
        if not name.startswith("stats/"):
            assert folder_dataset.read(name) == bucket_dataset.read(name), name


# Tables


def test_pyarrow_reads_the_columns(dataset):
    found = pyarrow.dataset.dataset(
        arrow_path(dataset, "metadata"), filesystem=arrow_filesystem(dataset)
    )
    assert dict(zip(found.schema.names, found.schema.types)) == COLUMNS
    assert found.schema.names == list(COLUMNS)
    assert found.count_rows() == PAIRS
    rows = found.to_table().to_pylist()
    assert [row["SAMPLE_ID"] for row in rows] == [
        (number - 1) // 2 * 1_000_000 + 3 * i for number in SHARDS for i in range(SHARDS[number])
    ]
    assert [row["key"] for row in rows] == [
        f"{number:09}{3 * i:05}" for number in SHARDS for i in range(SHARDS[number])
    ]
    for row in rows:
        assert row["hash"] == mmh3.hash64(row["URL"] + row["TEXT"])[0]
        assert row["uid"] == hashlib.md5((row["TEXT"] + row["URL"]).encode()).hexdigest()
        assert (row["WIDTH"], row["HEIGHT"]) == (64, 32)
        assert row["pdq"] is row["punsafe"] is row["pwatermark"] is row["aesthetic"] is None
    assert [row["LICENSE"] for row in rows[:2]] == [
        "https://creativecommons.org/licenses/by/4.0/",
        "?",
    ]
    assert [row["LANGUAGE"] for row in rows[:2]] == ["en", ""]


def test_tables_are_compressed_indexed_and_say_what_made_them(dataset):
    path = arrow_path(dataset, "metadata/metadata_000000001.parquet")
    metadata = pq.read_metadata(path, filesystem=arrow_filesystem(dataset))
    for i in range(metadata.num_columns):
        column = metadata.row_group(0).column(i)
        assert column.compression == "ZSTD"
        assert column.is_stats_set, column.path_in_schema
        assert column.has_column_index and column.has_offset_index, column.path_in_schema
    said = {
        key.decode().removeprefix("crawlingathome."): value.decode()
        for key, value in metadata.metadata.items()
        if key.startswith(b"crawlingathome.")
    }
    assert said.pop("program").startswith("cah-dataset ")
    assert json.loads(said.pop("thresholds")) == {"similarity": 0.3}
    assert said == {
        "model": "sample",
        "model_digest": "0123456789abcdef",
        "crawl": "CC-MAIN-2026-43",
    }


def test_pandas_reads_the_tables(dataset):
    frames = [
        pd.read_parquet(url, storage_options=dataset.options or None)
        for url in dataset.urls("metadata/*.parquet")
    ]
    frame = pd.concat(frames)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == PAIRS
    assert frame["similarity"].between(0.3, 0.4).all()
    assert frame["aesthetic"].isna().all()


def test_duckdb_queries_the_tables(dataset):
    connection = duckdb.connect()
    if dataset.server is not None:
        connection.register_filesystem(dataset.filesystem)
    files = dataset.urls("metadata/*.parquet")
    query = "SELECT count(*), count(DISTINCT uid), max(length(TEXT)) FROM read_parquet($files)"
    pairs, distinct, longest = connection.execute(query, {"files": files}).fetchone()
    assert (pairs, distinct) == (PAIRS, PAIRS) and longest > 10
    # The Bloom filter sorts out every row group for an address that is not there.
    probe = "SELECT bool_or(bloom_filter_excludes) FROM parquet_bloom_probe($file, 'URL', $url)"
    there = connection.execute("SELECT URL FROM read_parquet($file)", {"file": files[0]}).fetchone()[0]
    for url, excluded in [(there, False), ("https://images.example.org/absent", True)]:
        found = connection.execute(probe, {"file": files[0], "url": url}).fetchone()[0]
        assert found is excluded, url


def test_polars_scans_the_tables(dataset):
    options = None
    if dataset.server is not None:
        options = {
            "aws_access_key_id": "user",
            "aws_secret_access_key": "secret",
            "aws_endpoint_url": dataset.server.endpoint,
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        }
    scan = polars.scan_parquet(dataset.urls("metadata/*.parquet"), storage_options=options)
    frame = scan.filter(polars.col("LICENSE") == "?").select("SAMPLE_ID", "TEXT").collect()
    assert len(frame) == sum(index % 2 for index in expected_indices())


def test_hugging_face_datasets_loads_the_tables(dataset, tmp_path):
    loaded = datasets.load_dataset(
        "parquet",
        data_files=dataset.urls("metadata/*.parquet"),
        split="train",
        cache_dir=str(tmp_path),
        storage_options=dataset.options,
    )
    assert loaded.column_names == list(COLUMNS)
    assert list(loaded["SAMPLE_ID"]) == table(dataset)["SAMPLE_ID"].to_pylist()


# Images


def webdataset_urls(dataset):
    """Paths, or addresses that anyone may fetch: webdataset reads those with curl."""
    urls = dataset.urls("images/*.tar")
    if dataset.server is None:
        return urls
    signed = []
    for url in urls:
        _, _, bucket, key = url.split("/", 3)
        parameters = {"Bucket": bucket, "Key": key}
        signed.append(dataset.server.client.generate_presigned_url("get_object", parameters))
    return signed


def test_webdataset_reads_the_pairs_in_the_order_of_the_table(dataset):
    pairs = (
        webdataset.WebDataset(webdataset_urls(dataset), shardshuffle=False)
        .decode("pil")
        .to_tuple("__key__", "jpg", "txt", "json")
    )
    rows = table(dataset).to_pylist()
    found = list(pairs)
    assert len(found) == len(rows)
    for row, (key, image, text, sidecar) in zip(rows, found):
        assert (key, text) == (row["key"], row["TEXT"])
        assert image.size == (row["WIDTH"], row["HEIGHT"])
        assert {name: sidecar[name] for name in COLUMNS} == row


def test_open_clip_trains_on_the_tars(dataset):
    """The steps of open_clip's training pipeline."""
    pipeline = webdataset.DataPipeline(
        webdataset.SimpleShardList(webdataset_urls(dataset)),
        webdataset.tarfile_to_samples(handler=webdataset.reraise_exception),
        webdataset.select(lambda sample: "txt" in sample and "jpg" in sample),
        webdataset.decode("pilrgb"),
        webdataset.rename(image="jpg;png;jpeg;webp", text="txt"),
        webdataset.map_dict(image=np.asarray),
        webdataset.to_tuple("image", "text"),
        webdataset.batched(4),
    )
    batches = list(pipeline)
    assert sum(len(texts) for _, texts in batches) == PAIRS
    assert all(image.shape == (32, 64, 3) for images, _ in batches for image in images)


def test_members_carry_the_names_of_img2dataset(dataset):
    raw = webdataset.WebDataset(webdataset_urls(dataset), shardshuffle=False)
    for sample in raw:
        sidecar = json.loads(sample["json"])
        assert sidecar["url"] == sidecar["URL"]
        assert sidecar["caption"] == sidecar["TEXT"] == sample["txt"].decode()
        assert sidecar["key"] == sample["__key__"]
        assert (sidecar["status"], sidecar["error_message"]) == ("success", None)
        assert (sidecar["width"], sidecar["height"]) == (64, 32)
        assert (sidecar["original_width"], sidecar["original_height"]) == (64, 32)
        assert sidecar["sha256"] == hashlib.sha256(sample["jpg"]).hexdigest()
        assert sidecar["md5"] == hashlib.md5(sample["jpg"]).hexdigest()


def test_hugging_face_datasets_loads_the_tars(dataset, tmp_path):
    loaded = datasets.load_dataset(
        "webdataset",
        data_files=dataset.urls("images/*.tar"),
        split="train",
        cache_dir=str(tmp_path),
        storage_options=dataset.options,
    )
    rows = table(dataset).to_pylist()
    assert len(loaded) == len(rows)
    for row, sample in zip(rows, loaded):
        assert sample["__key__"] == row["key"]
        assert sample["txt"] == row["TEXT"]
        assert sample["jpg"].size == (64, 32)
        assert sample["json"]["SAMPLE_ID"] == row["SAMPLE_ID"]


# Embeddings


@pytest.mark.parametrize("kind, shift", [("img_emb", 0), ("text_emb", 1)])
def test_embedding_reader_pairs_rows_with_metadata(dataset, kind, shift, monkeypatch):
    """The reader under clip-retrieval and autofaiss. The shard without pairs lies between two
    that have some: a file too many of it would shift the metadata."""
    monkeypatch.setitem(fsspec.config.conf, "s3", dataset.options)
    reader = EmbeddingReader(
        embeddings_folder=dataset.url(kind),
        metadata_folder=dataset.url("metadata"),
        meta_columns=["SAMPLE_ID", "URL", "TEXT", "similarity"],
        file_format="parquet_npy",
    )
    assert (reader.count, reader.dimension) == (PAIRS, DIM)
    batches = list(reader(batch_size=4, show_progress=False))
    embeddings = np.concatenate([batch for batch, _ in batches])
    metadata = pd.concat([meta for _, meta in batches])
    assert metadata["SAMPLE_ID"].tolist() == table(dataset)["SAMPLE_ID"].to_pylist()
    expected = [embedding(index + shift) for index in expected_indices()]
    np.testing.assert_allclose(embeddings, expected, atol=1e-3)


def test_numpy_and_pandas_read_the_folders_as_clip_retrieval_does(dataset):
    for kind in ("img_emb", "text_emb"):
        arrays = [
            np.load(io.BytesIO(dataset.read(f"{kind}/{url.rsplit('/', 1)[1]}")))
            for url in dataset.urls(f"{kind}/*.npy")
        ]
        embeddings = np.concatenate(arrays)
        assert (embeddings.shape, embeddings.dtype) == ((PAIRS, DIM), np.float16)
        lengths = np.linalg.norm(embeddings.astype(np.float32), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-3)
    tables = [
        pd.read_parquet(url, storage_options=dataset.options or None)
        for url in dataset.urls("metadata/*.parquet")
    ]
    assert [len(array) for array in arrays] == [len(frame) for frame in tables]


# Candidates


def test_candidates_are_those_of_cc2dataset(sample, server, tmp_path):
    options = server.fsspec_options
    for target, storage in [
        (str(tmp_path / "candidates.parquet"), None),
        (f"s3://{BUCKET}/b/candidates.parquet", options),
    ]:
        sample(tmp_path / "out", "--candidates", target, **server.environment)
        frame = pd.read_parquet(target, storage_options=storage)
        assert list(frame.columns) == (
            ["uid", "url", "alt", "cc_filename", "page_url"] + ["text", "license", "language"]
        )
        joined = frame["alt"] + frame["url"]
        assert frame["uid"].tolist() == [hashlib.md5(s.encode()).hexdigest() for s in joined]
        assert frame["license"].isna().all() and (frame["language"] == "en").all()


# What goes wrong, and what is long


def test_long_files_go_up_in_parts(sample, server, tmp_path):
    folder = Dataset(str(tmp_path / "long"))
    bucket = Dataset(f"s3://{BUCKET}/long", server)
    sample(folder.root, "--side", 1024)
    sample(bucket.root, "--side", 1024, **server.environment)
    name = "images/000000001.tar"
    head = server.client.head_object(Bucket=BUCKET, Key=f"long/{name}")
    assert "-" in head["ETag"] and head["ContentLength"] > 8 << 20
    assert bucket.read(name) == folder.read(name)
    pairs = webdataset.WebDataset(webdataset_urls(bucket), shardshuffle=False)
    for pair in pairs:
        assert Image.open(io.BytesIO(pair["jpg"])).size == (1024, 512)


def test_a_shard_that_is_given_up_leaves_nothing(sample, server, tmp_path):
    sample(f"s3://{BUCKET}/aborted", "--abort", "--side", 1024, **server.environment)
    assert server.unfinished_uploads() == []
    assert server.keys("aborted/") == []
    folder = Dataset(str(tmp_path))
    sample(folder.root, "--abort", "--side", 1024)
    assert folder.names() == []


def test_a_bucket_that_is_not_there_is_named_in_one_line(sample, server):
    done = sample("s3://nowhere/x", check=False, **server.environment)
    assert done.returncode == 1
    assert "s3://nowhere/x" in done.stderr and "NoSuchBucket" in done.stderr
    assert done.stderr.count("\n") == 1
