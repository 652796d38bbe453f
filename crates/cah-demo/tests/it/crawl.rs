//! A small crawler that asks for every candidate: does the web do what its truth says?

use std::{collections::BTreeSet, time::Duration};

use cah_demo::Candidate;
use cah_protocol::{Outcome, OutcomeCounts, Phase};
use futures::{StreamExt as _, stream};
use reqwest::{Client, Response, StatusCode, Url, header};

use crate::{decode::decode, support::served};

const BYTE_CAP: usize = 3 << 20;
/// For a machine with much else to do: only what never ends waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where a candidate ends if no rule and no model has a say.
async fn outcome(client: &Client, candidate: &Candidate) -> Outcome {
    let answer = match tokio::time::timeout(DEADLINE, fetch(client, &candidate.url)).await {
        Ok(answer) => answer,
        Err(_) => return Outcome::TimedOut,
    };
    match answer.and_then(|bytes| decode(&bytes)) {
        Ok(_) => Outcome::Kept,
        Err(outcome) => outcome,
    }
}

async fn fetch(client: &Client, url: &str) -> Result<Vec<u8>, Outcome> {
    let mut url = Url::parse(url).map_err(|_| Outcome::UrlInvalid)?;
    for _ in 0..6 {
        let response = ask_twice(client, &url).await?;
        if !response.status().is_redirection() {
            return read(response).await;
        }
        let target = text(&response, header::LOCATION).ok_or(Outcome::BadRedirect)?;
        url = url.join(&target).map_err(|_| Outcome::BadRedirect)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Outcome::BadRedirect);
        }
    }
    Err(Outcome::BadRedirect)
}

async fn ask_twice(client: &Client, url: &Url) -> Result<Response, Outcome> {
    let response = ask(client, url).await?;
    match response.status().is_server_error() {
        true => ask(client, url).await,
        false => Ok(response),
    }
}

async fn ask(client: &Client, url: &Url) -> Result<Response, Outcome> {
    client.get(url.clone()).send().await.map_err(|error| {
        let cause = format!("{error:?}");
        match () {
            () if url.scheme() == "https" => Outcome::TlsFailed,
            () if cause.contains("dns") => Outcome::DnsFailed,
            () if error.is_connect() => Outcome::ConnectFailed,
            () => panic!("{url}: {cause}"),
        }
    })
}

fn text(response: &Response, name: header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().unwrap();
    Some(value.to_owned())
}

async fn read(mut response: Response) -> Result<Vec<u8>, Outcome> {
    if response.status() != StatusCode::OK {
        return Err(Outcome::HttpStatus);
    }
    opt_out(&response)?;
    if text(&response, header::CONTENT_TYPE).is_some_and(|mime| mime.starts_with("text/html")) {
        return Err(Outcome::WrongContentType);
    }
    if response.content_length() > Some(BYTE_CAP as u64) {
        return Err(Outcome::BodyTooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| Outcome::TransferFailed)?
    {
        body.extend(chunk);
        if body.len() > BYTE_CAP {
            return Err(Outcome::BodyTooLarge);
        }
    }
    Ok(body)
}

fn opt_out(response: &Response) -> Result<(), Outcome> {
    if text(response, header::HeaderName::from_static("tdm-reservation")).as_deref() == Some("1") {
        return Err(Outcome::TdmReserved);
    }
    let robots = text(response, header::HeaderName::from_static("x-robots-tag"));
    match robots.as_deref() {
        None | Some("examplebot: noindex") => Ok(()),
        Some("noai") => Err(Outcome::RobotsNoai),
        Some("noimageai") => Err(Outcome::RobotsNoimageai),
        Some("noindex, nofollow") => Err(Outcome::RobotsNoindex),
        Some("noimageindex") => Err(Outcome::RobotsNoimageindex),
        Some(other) => panic!("{other} is not among the opt-outs"),
    }
}

#[test]
fn every_candidate_that_is_requested_does_what_the_truth_says() {
    let served = served();
    let requested = served
        .web
        .truth()
        .candidates()
        .iter()
        .filter(|candidate| candidate.wanted.phase() >= Phase::Fetch);
    let crawled: Vec<(&Candidate, Outcome)> = served.runtime.block_on(
        stream::iter(requested)
            .map(async |candidate| (candidate, outcome(&served.client, candidate).await))
            .buffer_unordered(8)
            .collect(),
    );
    let surprises: Vec<_> = crawled
        .iter()
        .filter(|(candidate, outcome)| match candidate.is_certain() {
            true => candidate.wanted != *outcome,
            false => *outcome != Outcome::Kept,
        })
        .map(|(candidate, outcome)| (&candidate.url, candidate.wanted, *outcome))
        .collect();
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn every_outcome_that_a_crawl_can_have_occurs() {
    let wanted: BTreeSet<Outcome> = served()
        .web
        .truth()
        .candidates()
        .iter()
        .map(|candidate| candidate.wanted)
        .collect();
    let missing: Vec<_> = Outcome::ALL
        .iter()
        .filter(|outcome| !wanted.contains(outcome))
        .collect();
    // The operator's choice; half a million candidates; an address that only a crawler of the
    // public Internet refuses.
    let others = [
        Outcome::LanguageNotWanted,
        Outcome::ShardFull,
        Outcome::PrivateAddress,
    ];
    assert_eq!(missing, others.iter().collect::<Vec<_>>());
}

#[test]
fn expected_counts_are_those_of_the_cases_in_every_wat() {
    let counts = served().web.truth().expected_counts();
    let mut expected = OutcomeCounts::default();
    for (outcome, cases) in [
        (Outcome::UrlInvalid, 4),
        (Outcome::UrlTooLong, 1),
        (Outcome::UrlExtension, 2),
        (Outcome::TextTooShort, 2),
        (Outcome::TextTooLong, 1),
        (Outcome::Duplicate, 3),
        (Outcome::DnsFailed, 1),
        (Outcome::ConnectFailed, 1),
        (Outcome::TlsFailed, 1),
        (Outcome::TimedOut, 2),
        (Outcome::BadRedirect, 4),
        (Outcome::HttpStatus, 6),
        (Outcome::RobotsNoai, 1),
        (Outcome::RobotsNoimageai, 1),
        (Outcome::RobotsNoindex, 1),
        (Outcome::RobotsNoimageindex, 1),
        (Outcome::TdmReserved, 1),
        (Outcome::WrongContentType, 1),
        (Outcome::BodyTooLarge, 2),
        (Outcome::TransferFailed, 1),
        (Outcome::ImageTooSmall, 2),
        (Outcome::UnknownFormat, 2),
        (Outcome::TooManyPixels, 3),
        (Outcome::ImageDamaged, 4),
    ] {
        (0..2 * cases).for_each(|_| expected.add(outcome));
    }
    assert_eq!(counts, expected);
}

#[test]
fn a_perfect_selection_scores_one_and_everything_scores_less() {
    let truth = served().web.truth();
    let pairs = |wanted: fn(&Candidate) -> bool| {
        truth.score(
            truth
                .candidates()
                .iter()
                .filter(|candidate| wanted(candidate))
                .map(|candidate| (&candidate.url, &candidate.text)),
        )
    };
    let perfect = pairs(|candidate| candidate.wanted == Outcome::Kept);
    assert_eq!((perfect.precision, perfect.recall), (1.0, 1.0));
    assert!(perfect.unreadable > 0);
    let blind = pairs(|candidate| candidate.wanted.phase() >= Phase::Match);
    assert!(blind.precision < 0.75 && blind.recall == 1.0, "{blind:?}");
}
