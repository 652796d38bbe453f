//! Lists of WAT files.

use std::io::{Cursor, Write};

use cah_tracker::operation::{self, CheckedList, Format, ImportError, Imported};
use flate2::{Compression, write::GzEncoder};

use crate::{app::TestApp, recount};

const BASE: &str = "https://data.example.org/";

fn list(wats: std::ops::Range<usize>) -> Vec<u8> {
    let line = |i| format!("crawl-data/CC-MAIN-2021-04/segments/{i:06}.warc.wat.gz\n");
    wats.map(line).collect::<String>().into_bytes()
}

async fn import(app: &TestApp, list: Vec<u8>) -> Result<Imported, ImportError> {
    let base_url = BASE.into();
    let format = Format::WatPaths { base_url };
    let list = CheckedList::read(Cursor::new(list), format).await?;
    operation::import(&*app.store, list, None, 0).await
}

#[tokio::test]
async fn a_list_can_be_imported_again_and_grow() {
    let app = TestApp::start(0).await;
    let first = import(&app, list(0..3)).await.unwrap();
    assert_eq!(
        first,
        Imported {
            added: 3,
            jobs: 6,
            known: 0
        }
    );
    let again = import(&app, list(0..3)).await.unwrap();
    assert_eq!(
        again,
        Imported {
            added: 0,
            jobs: 0,
            known: 3
        }
    );

    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&list(0..5)).unwrap();
    let longer = import(&app, gzip.finish().unwrap()).await.unwrap();
    assert_eq!(
        longer,
        Imported {
            added: 2,
            jobs: 4,
            known: 3
        }
    );
    assert_eq!(app.open_jobs("HYBRID").await, 10);
    recount::check(&app.db());

    // Numbers and ids go on where the list did.
    let worker = app.join("ada", "HYBRID").await;
    let mut last = serde_json::Value::Null;
    for _ in 0..10 {
        last = app.new_job(&worker).await.json();
        app.done(&worker, 1).await;
    }
    insta::assert_json_snapshot!(last);
}

#[tokio::test]
async fn a_file_named_twice_is_one_file() {
    let app = TestApp::start(0).await;
    let mut twice = list(0..2);
    twice.extend(list(0..2));
    assert_eq!(import(&app, twice).await.unwrap().added, 2);
    recount::check(&app.db());
}

#[tokio::test]
async fn a_wrong_line_leaves_everything_as_it_was() {
    let app = TestApp::start(1).await;
    let mut wrong = list(0..25_000);
    wrong.extend(b"crawl-data/CC-MAIN-2021-04/robotstxt.warc.gz\n");
    let error = import(&app, wrong).await.unwrap_err();
    insta::assert_snapshot!(error, @"line 25001 of the list: `crawl-data/CC-MAIN-2021-04/robotstxt.warc.gz` ends in neither .wat.gz nor .wat; nothing was imported");
    assert_eq!(app.store.counts().await.unwrap().jobs, 2);
    recount::check(&app.db());
}

#[tokio::test]
async fn a_long_list_takes_several_transactions_and_workers_are_served_meanwhile() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    let importing = import(&app, list(0..45_000));
    let working = async {
        for _ in 0..2 {
            app.new_job(&worker).await.json();
            app.done(&worker, 1).await;
        }
    };
    let (imported, ()) = tokio::join!(importing, working);
    assert_eq!(imported.unwrap().jobs, 90_000);
    assert_eq!(
        app.get("/data").await.json()["completion_str"],
        "2 / 90,002"
    );
    recount::check(&app.db());
}
