//! A tracker says where a WAT file lies; it may not say anything.

use axum::{
    body::Body,
    http::{Response, header},
};
use cah_dataset::Store;
use cah_fetch::{Config, Guard, NameServers};
use cah_worker::{Progress, Source, SourceError, WorkerError, shards_of};

use crate::support::{Ask, part, pipeline, read, serve, serve_at, wat};

fn guard(change: impl FnOnce(&mut Config)) -> Guard {
    let mut config = Config {
        name_servers: NameServers::None,
        ..Config::default()
    };
    change(&mut config);
    Guard::new(&config).unwrap()
}

#[tokio::test]
async fn files_of_this_machine_are_not_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    Source::open(&path).await.unwrap();
    let open = guard(|config| config.allow_private_addresses = true);
    for location in [
        &path,
        &format!("file://{path}"),
        &format!("FILE://{path}"),
        "../a.wat",
    ] {
        let error = Source::open_leased(location, &open).await.unwrap_err();
        assert!(matches!(error, SourceError::NotRemote(_)), "{error}");
        assert!(error.to_string().contains(location), "{error}");
    }
}

#[tokio::test]
async fn servers_that_are_not_for_everybody_are_not_asked() {
    let server = serve(async |ask: Ask| part(b"0123", ask.range)).await;
    let port = server.url.rsplit(':').next().unwrap();
    let closed = guard(|config| {
        let inside = vec![format!("127.0.0.1:{port}").parse().unwrap()];
        config.hosts.insert("inside.example".into(), inside);
    });
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "inside.example",
    ] {
        let location = format!("http://{host}:{port}/a.wat");
        let error = Source::open_leased(&location, &closed).await.unwrap_err();
        assert!(matches!(error, SourceError::Private(_)), "{error}");
        assert!(error.to_string().contains(&location), "{error}");
    }
    let secret = format!("http://me:secret@127.0.0.1:{port}/a.wat");
    assert!(Source::open_leased(&secret, &closed).await.is_err());
    assert_eq!(server.asked(), 0);

    let open = guard(|config| config.allow_private_addresses = true);
    let source = Source::open_leased(&server.url, &open).await.unwrap();
    assert_eq!(read(&source, 1).await.unwrap(), b"123");
}

#[tokio::test]
async fn redirects_are_no_way_around() {
    let inside = serve_at("127.0.0.2:0", async |ask: Ask| part(b"0123", ask.range)).await;
    let to = inside.url.clone();
    let outside = serve(move |_| {
        let answer = Response::builder()
            .status(302)
            .header(header::LOCATION, &to);
        let answer = answer.body(Body::empty()).unwrap();
        async { answer }
    })
    .await;
    let one = guard(|config| config.allowed_networks = vec!["127.0.0.1/32".parse().unwrap()]);
    let error = Source::open_leased(&outside.url, &one).await.unwrap_err();
    assert!(matches!(error, SourceError::BadRedirect { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.2"), "{error}");
    assert_eq!((outside.asked(), inside.asked()), (1, 0));

    let both = guard(|config| config.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()]);
    let source = Source::open_leased(&outside.url, &both).await.unwrap();
    assert_eq!(source.length(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_knows_whose_choice_a_shard_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wat.gz");
    std::fs::write(&path, wat(&[])).unwrap();
    let out = folder.path().join("out");
    let store = Store::open(out.to_str().unwrap()).await.unwrap();
    let shard = &shards_of(&[path.display().to_string()])[0];
    let pipeline = pipeline(|_| ());
    let leased = pipeline.run(shard, &store, &Progress::default()).await;
    assert!(matches!(
        leased.unwrap_err(),
        WorkerError::Source(SourceError::NotRemote(_))
    ));
    let own = pipeline.run_own(shard, &store, &Progress::default()).await;
    assert_eq!(own.unwrap().manifest().unwrap().candidates, 0);
}
