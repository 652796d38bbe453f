//! Places that can be used, and clear words for those that cannot.

use std::{fs, net::TcpListener};

use cah_dataset::{DatasetError, Store};

use crate::support::{child, child_folder, names, succeeds};

async fn refused(place: &str) -> DatasetError {
    let error = Store::open(place).await.expect_err("it cannot be used");
    let text = error.to_string();
    assert!(text.contains(place) && !text.contains('\n'), "{text}");
    error
}

#[tokio::test]
async fn a_missing_folder_is_created_and_nothing_is_left_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a/b c");
    let store = Store::open(place.to_str().unwrap()).await.unwrap();
    assert_eq!(store.place(), place.to_str().unwrap());
    let url = url::Url::from_directory_path(folder.path().join("u v")).unwrap();
    Store::open(url.as_str()).await.unwrap();
    assert!(place.is_dir() && folder.path().join("u v").is_dir());
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_written_is_known_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = refused(place.to_str().unwrap()).await;
        assert!(matches!(error, DatasetError::Unwritable { .. }), "{error}");
    }
    // A part of the dataset that is in the way counts, too.
    let dataset = folder.path().join("dataset");
    fs::create_dir(&dataset).unwrap();
    fs::write(dataset.join("img_emb"), "").unwrap();
    let error = refused(dataset.to_str().unwrap()).await;
    assert!(matches!(error, DatasetError::Unwritable { .. }), "{error}");
}

#[tokio::test]
async fn other_kinds_of_places_are_named() {
    for place in [
        "gs://bucket/x",
        "https://host/x",
        "ftp://host",
        "memory:///",
    ] {
        let error = refused(place).await;
        assert!(matches!(error, DatasetError::UnknownScheme(_)), "{error}");
        assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
    }
    let error = refused("s3:///prefix").await;
    assert!(matches!(error, DatasetError::BadAddress { .. }), "{error}");
}

/// The environment belongs to the process, so this runs in one of its own.
#[test]
fn a_bucket_that_does_not_answer_or_would_leak_is_named() {
    let test = "open::a_bucket_that_does_not_answer_or_would_leak_is_named";
    if child_folder().is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let error = runtime.unwrap().block_on(refused("s3://bucket/prefix"));
        match std::env::var("CAH_DATASET_EXPECT").unwrap().as_str() {
            "leak" => {
                assert!(matches!(error, DatasetError::BadAddress { .. }), "{error}");
                assert!(error.to_string().contains("AWS_ALLOW_HTTP"), "{error}");
            }
            _ => assert!(matches!(error, DatasetError::Unwritable { .. }), "{error}"),
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // A port on which nobody listens any more.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (endpoint, expect) in [
        (format!("http://{closed}"), "silence"),
        ("http://192.0.2.1:9000".to_owned(), "leak"),
    ] {
        let mut command = child(test, folder.path());
        command.env("AWS_ENDPOINT_URL", endpoint);
        command
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        command
            .env_remove("AWS_ALLOW_HTTP")
            .env("CAH_DATASET_EXPECT", expect);
        succeeds(&mut command);
    }
}
