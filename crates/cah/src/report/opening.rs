//! How to open a dataset.

use cah_clip::ImageMode;

/// Where the dataset lies and ways to open it in Python, each to be pasted as it is.
///
/// `images` is how they are stored, as manifests say it.
pub(super) fn how_to_open(out: &str, images: Option<&str>) -> String {
    let out = out.trim_end_matches('/');
    let mut text = format!(
        "The dataset is in {out}. Ways to open it in Python:\n  \
         import pandas; pandas.read_parquet({:?})\n",
        format!("{out}/metadata")
    );
    match images {
        Some(images) => text += &webdataset(out, extensions(images)),
        None => {
            text += "Images were not stored (--images none); the column URL says where they are.\n"
        }
    }
    text
}

fn webdataset(out: &str, extensions: &str) -> String {
    let tars = format!("{out}/images/*.tar");
    let (tars, preparation) = match out.starts_with("s3://") {
        // webdataset reads no buckets by itself.
        true => (
            format!(r#"["s3://" + tar for tar in fsspec.filesystem("s3").glob({tars:?})]"#),
            "import fsspec, webdataset; webdataset.gopen_schemes[\"s3\"] = \
             lambda url, *rest, **more: fsspec.open(url).open()\n  ",
        ),
        false => (format!("glob.glob({tars:?})"), "import glob, webdataset; "),
    };
    format!(
        "  {preparation}webdataset.WebDataset({tars}, shardshuffle=False)\
         .decode(\"pil\").to_tuple({extensions:?}, \"txt\")\n"
    )
}

/// What images are called in the tars, in webdataset's words.
fn extensions(images: &str) -> &'static str {
    match images.parse() {
        Ok(ImageMode::Original) => "jpg;png;webp;gif",
        _ => "jpg",
    }
}

#[cfg(test)]
mod tests {
    use super::how_to_open;

    // That Python understands all this is tested in python/tests/test_buckets.py.
    #[test]
    fn folders_are_listed_by_glob() {
        insta::assert_snapshot!(how_to_open("out/", Some("keep_ratio:384")), @r#"
        The dataset is in out. Ways to open it in Python:
          import pandas; pandas.read_parquet("out/metadata")
          import glob, webdataset; webdataset.WebDataset(glob.glob("out/images/*.tar"), shardshuffle=False).decode("pil").to_tuple("jpg", "txt")
        "#);
    }

    #[test]
    fn buckets_are_listed_by_fsspec() {
        insta::assert_snapshot!(how_to_open("s3://bucket/out", Some("border:64")), @r#"
        The dataset is in s3://bucket/out. Ways to open it in Python:
          import pandas; pandas.read_parquet("s3://bucket/out/metadata")
          import fsspec, webdataset; webdataset.gopen_schemes["s3"] = lambda url, *rest, **more: fsspec.open(url).open()
          webdataset.WebDataset(["s3://" + tar for tar in fsspec.filesystem("s3").glob("s3://bucket/out/images/*.tar")], shardshuffle=False).decode("pil").to_tuple("jpg", "txt")
        "#);
    }

    #[test]
    fn original_images_are_of_any_kind() {
        let text = how_to_open("out", Some("original"));
        assert!(
            text.contains(r#".to_tuple("jpg;png;webp;gif", "txt")"#),
            "{text}"
        );
    }

    #[test]
    fn without_images_there_are_no_tars() {
        insta::assert_snapshot!(how_to_open("out", None), @r#"
        The dataset is in out. Ways to open it in Python:
          import pandas; pandas.read_parquet("out/metadata")
        Images were not stored (--images none); the column URL says where they are.
        "#);
    }
}
