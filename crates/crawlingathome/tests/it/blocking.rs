//! The clients without an async runtime of the caller's.

use std::{collections::BTreeMap, time::Duration};

use crawlingathome::{
    ClientConfig, ClientError, Cpu, Dump, Gpu, Hybrid, Kind,
    blocking::{self, WholeWatClient},
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::mpsc::UnboundedReceiver};

use crate::{config, listening, next};

/// A tracker on a runtime of its own, and what it heard.
struct Tracker {
    runtime: Runtime,
    url: String,
    heard: UnboundedReceiver<(String, Value)>,
}

impl Tracker {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (url, heard) = runtime.block_on(listening());
        Self {
            runtime,
            url,
            heard,
        }
    }

    fn next(&mut self, path: &str) -> Value {
        self.runtime.block_on(next(&mut self.heard, path))
    }

    fn join<K: Kind>(&self) -> blocking::Client<K> {
        blocking::Client::connect(config(&self.url)).unwrap()
    }
}

#[test]
fn each_kind_says_what_it_made() {
    let mut tracker = Tracker::start();
    let hybrid = tracker.join::<Hybrid>();
    assert_eq!(
        (hybrid.display_name(), hybrid.token()),
        ("calm-river-1", "t")
    );
    hybrid.log("here").unwrap();
    let lease = hybrid.lease().unwrap();
    lease.log("half of it").unwrap();
    assert!(!lease.is_lost());
    lease.complete(7).unwrap();
    assert_eq!(tracker.next("/api/markAsDone")["count"], 7);
    hybrid.lease().unwrap().fail("broken").unwrap();
    assert_eq!(tracker.next("/api/failJob")["message"], "broken");
    let cpu = tracker.join::<Cpu>();
    assert_eq!(cpu.update_upload_address().unwrap(), "rsync://b/");
    cpu.lease().unwrap().complete("rsync x").unwrap();
    assert_eq!(tracker.next("/api/markAsDone")["url"], "rsync x");
    let gpu = tracker.join::<Gpu>();
    gpu.lease().unwrap().flag_invalid().unwrap();
    tracker.next("/api/gpuInvalidDownload");
    gpu.bye().unwrap();
    tracker.next("/api/bye");
}

#[test]
fn a_lease_beats_while_the_caller_works_and_goes_back() {
    let mut tracker = Tracker::start();
    let client = tracker.join::<Hybrid>();
    let lease = client.lease().unwrap();
    lease.set_progress("at work");
    while tracker.next("/api/updateProgress")["progress"] != "at work" {}
    drop(lease);
    assert_eq!(tracker.next("/api/returnJob")["number"], 1);
    // So it does from a thread that did not make it.
    let lease = client.lease().unwrap();
    std::thread::spawn(move || drop(lease)).join().unwrap();
    tracker.next("/api/returnJob");
    let lease = client.lease().unwrap();
    let dump: Dump = lease.dump();
    lease.let_go();
    let (_, lease) = blocking::Client::<Hybrid>::load(&dump, config("x")).unwrap();
    lease.unwrap().complete(1).unwrap();
    tracker.next("/api/markAsDone");
}

#[test]
fn a_stage_gets_data_and_hands_data_on() {
    let mut tracker = Tracker::start();
    let client = blocking::distcompute::Client::connect(config(&tracker.url), "a").unwrap();
    let lease = client.lease().unwrap();
    assert_eq!(lease.number(), 3);
    lease.complete("made").unwrap();
    assert_eq!(tracker.next("/api/completeJob")["data"], "made");
    drop(client.lease().unwrap());
    tracker.next("/api/returnJob");
}

#[test]
fn whole_wats_are_there_too() {
    let tracker = Tracker::start();
    let client = WholeWatClient::connect(config(&tracker.url)).unwrap();
    assert_eq!(client.worker().nickname(), "anna");
    let dump = Dump {
        wat: Some("u".into()),
        shards: Some(json!([])),
        ..client.dump(None)
    };
    let (client, wat) = WholeWatClient::load(&dump, config("x")).unwrap();
    let strange = BTreeMap::from([(1, "x".to_owned())]);
    let error = client.complete(&wat.unwrap(), &strange).unwrap_err();
    assert!(matches!(error, ClientError::NotOfTheWat(1)), "{error}");
}

#[test]
fn within_a_runtime_it_says_what_to_use() {
    let tracker = Tracker::start();
    let client = tracker.join::<Hybrid>();
    let other = Runtime::new().unwrap();
    for call in [
        Box::new(|| drop(client.job_count())) as Box<dyn FnOnce()>,
        Box::new(|| {
            let config = ClientConfig::new("http://127.0.0.1:1", "anna");
            drop(blocking::HybridClient::connect(config));
        }),
    ] {
        let call = std::panic::AssertUnwindSafe(call);
        let refused = other.block_on(async {
            std::panic::catch_unwind(|| {
                let call = call;
                (call.0)();
            })
        });
        let refused = refused.unwrap_err();
        let text = refused.downcast_ref::<&str>().unwrap();
        assert!(text.contains("use the async client"), "{text}");
    }
    other.shutdown_timeout(Duration::ZERO);
}
