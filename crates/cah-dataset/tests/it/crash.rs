//! Writers that do not come to their end.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use cah_dataset::{DatasetError, ShardWriter};

use crate::support::{
    Pair, child, child_folder, info, names, open, pair, pairs, push, succeeds, tally, write,
};

const NOTHING: [&str; 0] = [];

/// Larger than what is held in memory, so that files have begun to grow.
fn large(index: u64) -> Pair {
    let image = Some(vec![index as u8; 1 << 20]);
    Pair {
        image,
        ..pair(index)
    }
}

#[tokio::test]
async fn a_dropped_or_aborted_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for abort in [false, true] {
        let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
        for index in 0..10 {
            push(&mut writer, &large(index)).await.unwrap();
        }
        assert!(
            names(folder.path())
                .iter()
                .all(|name| name.ends_with(".part"))
        );
        if abort {
            writer.abort().await;
        } else {
            drop(writer);
        }
        assert_eq!(names(folder.path()), NOTHING);
        assert_eq!(store.manifest(1).await.unwrap(), None);
    }
}

/// A future that is dropped in the middle of a pair leaves that pair in some files only.
#[tokio::test]
async fn a_push_that_was_dropped_spoils_the_shard() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
    let mut image = large(0);
    image.image = Some(vec![0; 9 << 20]);
    {
        let mut pushing = Box::pin(push(&mut writer, &image));
        assert!(futures::poll!(&mut pushing).is_pending());
    }
    let error = push(&mut writer, &pair(1)).await.unwrap_err();
    assert!(matches!(error, DatasetError::Interrupted(_)), "{error}");
    let error = writer.finish(tally(0)).await.unwrap_err();
    assert!(matches!(error, DatasetError::Interrupted(_)), "{error}");
    // What was on its way is removed by the task that held it.
    while !names(folder.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_killed_process_leaves_no_shard_and_the_next_one_cleans_up() {
    if let Some(folder) = child_folder() {
        return push_until_killed(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "crash::a_killed_process_leaves_no_shard_and_the_next_one_cleans_up";
    let mut doomed = child(test, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_a_file_grows(&mut doomed, folder.path());
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let left = names(folder.path());
    assert!(
        !left.is_empty() && left.iter().all(|name| name.ends_with(".part")),
        "{left:?}"
    );

    run(async {
        let store = open(folder.path()).await;
        assert_eq!(store.manifest(1).await.unwrap(), None);
        write(&store, info(1), &pairs(2)).await.unwrap();
    });
    assert!(
        names(folder.path())
            .iter()
            .all(|name| !name.ends_with(".part"))
    );
    assert_eq!(names(folder.path()).len(), 5);
}

fn push_until_killed(folder: &Path) {
    run(async {
        let store = open(folder).await;
        let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
        for index in 0..100_000 {
            // Enough is written once the parent sees it; then this only waits for its end.
            if index < 20 {
                push(&mut writer, &large(index)).await.unwrap();
            } else {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
}

fn wait_until_a_file_grows(child: &mut Child, folder: &Path) {
    let grows = || {
        let images = fs::read_dir(folder.join("images"));
        images.is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|e| e.metadata().is_ok_and(|m| m.len() > 0)))
        })
    };
    while !grows() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the child ended too early"
        );
        sleep(Duration::from_millis(10));
    }
}

/// A limit on the size of files stands in for a full disk: it binds a process without the rights
/// to mount one, and comes by the same way. The full disk's own code is tried in `error.rs`.
#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    if let Some(folder) = child_folder() {
        return fill_the_disk(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let limited = child(
        "crash::a_full_disk_is_named_and_leaves_nothing",
        folder.path(),
    );
    let mut shell = std::process::Command::new("sh");
    // XFSZ would kill; ignored, the write fails as it does on a full disk.
    shell.args(["-c", r#"trap '' XFSZ; ulimit -f 4096; exec "$0" "$@""#]);
    shell.arg(limited.get_program()).args(limited.get_args());
    shell.envs(limited.get_envs().filter_map(|(k, v)| Some((k, v?))));
    succeeds(&mut shell);
    assert_eq!(names(folder.path()), NOTHING);
}

fn fill_the_disk(folder: &Path) {
    run(async {
        let store = open(folder).await;
        let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
        for index in 0..6 {
            push(&mut writer, &large(index)).await.unwrap();
        }
        let error = writer.finish(tally(6)).await.unwrap_err();
        assert!(matches!(error, DatasetError::NoSpace { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("no space left"), "{error}");
        assert!(error.contains("images/000000001.tar"), "{error}");
        assert_eq!(store.manifest(1).await.unwrap(), None);
        // A shard that fits is still written.
        write(&store, info(2), &pairs(2)).await.unwrap();
    });
    for part in ["images", "metadata", "img_emb", "text_emb", "stats"] {
        fs::remove_dir_all(folder.join(part)).unwrap();
    }
}

/// The most memory that this process held at any time, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_number_of_pairs() {
    if let Some(folder) = child_folder() {
        return write_many(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "crash::memory_does_not_grow_with_the_number_of_pairs";
    succeeds(&mut child(test, folder.path()));
}

/// Writes 20,000 pairs, then 50,000 more, in one shard. The first fill every buffer: row groups,
/// parts and the embeddings' buffer. The others, some 270 MB, may take no more than the noise.
#[cfg(target_os = "linux")]
fn write_many(folder: &Path) {
    run(async {
        let store = open(folder).await;
        let big = cah_dataset::ShardInfo {
            dim: 256,
            ..info(1)
        };
        let mut writer = ShardWriter::create(&store, big).await.unwrap();
        let mut direction = vec![0f32; 256];
        direction[0] = 1.0;
        let image = bytes::Bytes::from(vec![7; 4_000]);
        let mut after_the_first = 0;
        for index in 0..70_000 {
            let row = crate::support::row(index);
            let image = Some(cah_dataset::StoredImage {
                bytes: image.clone(),
                extension: "jpg".into(),
            });
            writer
                .push(row, image, &direction, &direction)
                .await
                .unwrap();
            if index == 20_000 {
                after_the_first = peak_memory();
            }
        }
        writer.finish(tally(70_000)).await.unwrap();
        let grown = peak_memory() - after_the_first;
        assert!(grown < 64 << 10, "{grown} KiB after {after_the_first} KiB");
    });
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work);
}
