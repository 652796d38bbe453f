//! CPU and GPU workers: two halves of a hybrid one, also when they are killed.
//!
//! `CAH_KILLS=50` kills them that often; the default is what an everyday run has time for.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Stdio,
    time::Duration,
};

use cah_dataset::Manifest;
use cah_demo::{Config, MiniWeb, ServedWeb};
use cah_protocol::Shard;
use crawlingathome::Dump;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{
    Process, Served, cah, content, cpu_worker, fail, files_below, gpu_worker, manifests, run,
    succeed, until, wats, web, worker,
};

/// How often a worker is killed.
fn kills() -> usize {
    match std::env::var("CAH_KILLS") {
        Ok(text) => text.parse().expect("CAH_KILLS is a number"),
        Err(_) => 5,
    }
}

/// What a run without any tracker makes of the web.
async fn whole(web: &ServedWeb, out: &Path) -> BTreeMap<u64, Manifest> {
    succeed(&mut run(web, &wats(web), out, &[]));
    manifests(out).await
}

fn assert_same(ours: &BTreeMap<u64, Manifest>, whole: &BTreeMap<u64, Manifest>) {
    assert_eq!(content(ours), content(whole));
    assert_eq!(ours.len(), whole.len());
    for (ours, whole) in ours.values().zip(whole.values()) {
        assert_eq!(ours.outcomes, whole.outcomes);
        assert_eq!(ours.candidates, whole.candidates);
        assert_eq!(ours.info(), whole.info());
    }
}

fn names(out: &Path) -> Vec<std::path::PathBuf> {
    let files = files_below(out).into_iter();
    files
        .map(|file| file.strip_prefix(out).unwrap().to_owned())
        .collect()
}

/// Through the tracker's own staging, a shard ends as it does with a hybrid worker.
#[tokio::test(flavor = "multi_thread")]
async fn two_halves_make_the_rows_of_a_whole() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let (state, halves) = (folder.path().join("state"), folder.path().join("halves"));
    let printed = succeed(&mut cpu_worker(&tracker.url(), &web, &state, &[]));
    assert!(printed.contains("images handed over"), "{printed}");
    assert!(!state.exists(), "a worker that leaves leaves nothing");
    assert_eq!(tracker.open_jobs().await, 0);
    let printed = succeed(&mut gpu_worker(&tracker.url(), &web, &halves, &[]));
    assert!(printed.contains("pairs"), "{printed}");

    let out = folder.path().join("whole");
    let whole = whole(&web, &out).await;
    assert_eq!(names(&halves), names(&out));
    let halves = manifests(&halves).await;
    assert_eq!(whole.len(), 4);
    assert_same(&halves, &whole);
    let pairs: u64 = whole.values().map(|manifest| manifest.pairs).sum();
    let data = tracker.data().await;
    assert_eq!(data["completion_str"], "4 / 4");
    assert_eq!(data["total_pairs_scraped"], pairs);
}

/// Every job that a tracker has, as `export` tells it.
fn jobs(store: &Path) -> Vec<Value> {
    let store = format!("sqlite:{}", store.display());
    let exported = succeed(cah().args(["tracker", "export", "--store", &store]));
    let lines = exported.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Were it given back without a word, the next worker would get it and end of it as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_ends_a_worker_has_failed() {
    let web = web(10).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // No shard can be written to a dataset of other settings.
    let other = ["--similarity-threshold=0.9"];
    succeed(&mut run(&web, &wats(&web), &out, &other));
    let mut tracker = Served::web(folder.path(), &web, 7200).await;
    let open = tracker.open_jobs().await;
    let said = fail(&mut worker(&tracker.url(), &web, &out, &[]));
    assert!(said.contains("is of another run"), "{said}");
    assert_eq!(tracker.open_jobs().await, open);
    assert!(tracker.stop().success());
    let jobs = jobs(&folder.path().join("tracker.db"));
    let failures = jobs.iter().map(|job| job["failures"].as_u64().unwrap());
    assert_eq!(failures.sum::<u64>(), 1);
}

/// Only they themselves can go on with what they hold: nobody else gets it for two hours.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_again_and_again_lose_no_pair() {
    let kills = kills();
    let config = Config {
        pages: 60 + 20 * (kills / 4),
        wats: 2 + kills / 8,
        ..Config::default()
    };
    let web = MiniWeb::build(config).unwrap().serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole = whole(&web, &folder.path().join("whole")).await;
    let mut tracker = Served::web(folder.path(), &web, 7200).await;
    let url = tracker.url();
    let (state, out) = (folder.path().join("state"), folder.path().join("out"));
    let start_cpu = || {
        let mut cpu = cpu_worker(&url, &web, &state, &["--wait=1"]);
        Process::start(cpu.stderr(Stdio::null()))
    };
    let start_gpu = || {
        let mut gpu = gpu_worker(&url, &web, &out, &["--wait=1"]);
        Process::start(gpu.stderr(Stdio::null()))
    };
    let (mut cpu, mut gpu) = (start_cpu(), start_gpu());
    let mut random = 11_u64;
    for kill in 0..kills {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        sleep(Duration::from_millis((random >> 33) % 4_000)).await;
        assert!(cpu.is_running() && gpu.is_running());
        if kill % 2 == 0 {
            cpu.kill();
            cpu = start_cpu();
        } else {
            gpu.kill();
            gpu = start_gpu();
        }
    }
    let all = format!("{} / {0}", whole.len());
    until("all shards", || async {
        (tracker.data().await["completion_str"] == *all).then_some(())
    })
    .await;
    for worker in [&mut cpu, &mut gpu] {
        worker.signal("INT");
        assert!(worker.wait().success());
    }
    assert!(!state.exists());
    assert_eq!(names(&out), names(&folder.path().join("whole")));
    assert_same(&manifests(&out).await, &whole);
    let pairs: u64 = whole.values().map(|manifest| manifest.pairs).sum();
    assert_eq!(tracker.data().await["total_pairs_scraped"], pairs);
    assert!(tracker.stop().success());
    for job in jobs(&folder.path().join("tracker.db")) {
        assert_eq!(job["state"], "closed", "{job}");
        // One by each half, however often it was killed at it.
        assert_eq!(job["completions"].as_array().unwrap().len(), 2, "{job}");
    }
}

/// The shard that a worker with this state holds.
fn held(state: &Path) -> Option<Shard> {
    let dump = std::fs::read(state.join("lane-0/worker.json")).ok()?;
    let dump: Dump = serde_json::from_slice(&dump).ok()?;
    dump.shard().unwrap()
}

/// Whatever ends it there, a panic or the want of memory, would do so for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_ends_its_worker_again_and_again_has_failed() {
    let web = web(30).await;
    let folder = tempfile::tempdir().unwrap();
    let mut tracker = Served::web(folder.path(), &web, 7200).await;
    // Spelled otherwise than in what the worker keeps of itself.
    let url = tracker.url().replace("http:", "HTTP:");
    let state = folder.path().join("state");
    let worker = || cpu_worker(&url, &web, &state, &["--in-flight=1"]);
    let mut first = Process::start(worker().stderr(Stdio::null()));
    until("a shard", || async { held(&state) }).await;
    first.kill();
    // As if it had been started again three times, and had ended as often.
    let shard = held(&state).unwrap();
    let resumed = json!({"shard": shard, "times": 3, "bytes": u64::MAX});
    std::fs::write(state.join("lane-0/resumed.json"), resumed.to_string()).unwrap();
    let said = fail(&mut worker());
    assert!(said.contains("and got no further"), "{said}");
    // The other shards were done, and in the end this one, too.
    assert_eq!(tracker.open_jobs().await, 0);
    assert!(!state.exists());
    assert!(tracker.stop().success());
    for job in jobs(&folder.path().join("tracker.db")) {
        let failures = usize::from(job["number"] == shard.number);
        assert_eq!(job["messages"].as_array().unwrap().len(), failures, "{job}");
    }
}

/// A mistaken flag costs a killed worker none of its lanes.
#[test]
fn the_state_of_another_worker_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let lanes = ["lane-0", "lane-1"].map(|lane| make(folder.path(), lane).join("worker.json"));
    let dump = Dump {
        _type: "GPU".into(),
        url: "http://127.0.0.1:9/".into(),
        nickname: "anonymous".into(),
        ..Dump::default()
    };
    for lane in &lanes {
        std::fs::write(lane, serde_json::to_vec(&dump).unwrap()).unwrap();
    }
    let mut mistaken = cah();
    mistaken.args([
        "worker",
        "--tracker=http://127.0.0.1:9",
        "--type=cpu",
        "--state",
    ]);
    let said = fail(mistaken.arg(folder.path()));
    assert!(said.contains("is of a GPU worker"), "{said}");
    assert!(lanes.iter().all(|lane| lane.exists()));
}

/// The URLs in the journal of a CPU worker that was killed, and how often each is.
fn journaled(state: &Path) -> HashMap<String, u64> {
    let journal = std::fs::read_to_string(state.join("lane-0/job/journal")).unwrap_or_default();
    let whole_lines = journal
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let mut urls = HashMap::new();
    for line in whole_lines {
        let entry: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        let entry = entry.get("image").or_else(|| entry.get("ended")).unwrap();
        *urls
            .entry(entry["url"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    urls
}

/// How often each URL was asked for since `before`.
fn asked_since(web: &ServedWeb, before: &HashMap<String, u64>) -> HashMap<String, u64> {
    let asked = web.asked().into_iter();
    asked
        .map(|(url, count)| {
            let already = before.get(&url).copied().unwrap_or_default();
            (url, count - already)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_cpu_worker_fetches_no_image_again() {
    let config = Config {
        pages: 30,
        wats: 1,
        ..Config::default()
    };
    let web = MiniWeb::build(config).unwrap().serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--retries=0"];
    // What is asked for without any kill.
    let whole = Served::web(&make(folder.path(), "whole"), &web, 7200).await;
    let before = web.asked();
    let state = folder.path().join("other-state");
    succeed(&mut cpu_worker(&whole.url(), &web, &state, &flags));
    let usual = asked_since(&web, &before);

    let tracker = Served::web(&make(folder.path(), "killed"), &web, 7200).await;
    let state = folder.path().join("state");
    // Those of which no server was asked say nothing here.
    let known = || {
        let mut done = journaled(&state);
        done.retain(|url, _| usual.contains_key(url));
        done
    };
    // Slow enough to be killed in the middle of a shard.
    let slow = ["--in-flight=1", "--host-delay=100", flags[0]];
    let mut first = cpu_worker(&tracker.url(), &web, &state, &slow);
    let mut first = Process::start(first.stderr(Stdio::null()));
    let seen = until("some images", || async {
        let done = known();
        (done.len() > 3).then_some(done)
    })
    .await;
    first.kill();
    let job = state.join("lane-0/job");
    assert!(job.join("journal").exists() && !job.join("packed.json").exists());
    // What was written after the last look is kept as well.
    let done = known();
    assert!(done.len() >= seen.len(), "killed in another shard");
    let before = web.asked();
    succeed(&mut cpu_worker(&tracker.url(), &web, &state, &flags));
    let again = asked_since(&web, &before);
    for (url, done) in done {
        let again = again.get(&url).copied().unwrap_or_default();
        let usual = usual[&url];
        assert!(
            again + done <= usual,
            "{url}: {done} of {usual} were done, {again} came again"
        );
    }
    assert_eq!(tracker.open_jobs().await, 0);
}

fn make(folder: &Path, name: &str) -> std::path::PathBuf {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}
