//! What the flags of `cah run` change in the dataset, and what the columns say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
};

use cah_demo::{Candidate, ServedWeb};
use cah_protocol::Outcome;
use sha2::{Digest, Sha256};

use crate::harness::{Row, files_below, manifests, outcomes, pairs, run, succeed, wats, web};

/// Lets every sample become a pair, so that tests do not depend on the model; and gives up soon on
/// answers that never come.
const EVERY_SAMPLE: [&str; 2] = ["--similarity-threshold=-1", "--timeout=2"];

/// Runs over the first WAT file of the web.
fn crawl(web: &ServedWeb, out: &Path, more: &[&str]) {
    let more = [EVERY_SAMPLE.as_slice(), more].concat();
    succeed(&mut run(web, &wats(web)[..1], out, &more));
}

/// The members of all tars, by name.
fn members(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut members = BTreeMap::new();
    for path in files_below(&out.join("images")) {
        let mut tar = tar::Archive::new(File::open(path).unwrap());
        for member in tar.entries().unwrap() {
            let mut member = member.unwrap();
            let name = member.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).unwrap();
            members.insert(name, bytes);
        }
    }
    members
}

fn shorter_side(row: &Row, height: &str, width: &str) -> i32 {
    row.number(height).min(row.number(width))
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_are_stored_to_the_byte() {
    let (web, folder) = (web(8).await, tempfile::tempdir().unwrap());
    crawl(&web, folder.path(), &["--images=original"]);
    let (rows, members) = (pairs(folder.path()), members(folder.path()));
    let mut kinds = BTreeSet::new();
    for row in &rows {
        let (kind, extension) = match row.text("mime") {
            "image/jpeg" => ("JPEG", "jpg"),
            "image/png" => ("PNG", "png"),
            "image/webp" => ("WEBP", "webp"),
            other => panic!("the mini web has no {other}"),
        };
        let image = &members[&format!("{}.{extension}", row.text("key"))];
        let digest = Sha256::digest(image);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, row.text("sha256"));
        assert_eq!(row.number("WIDTH"), row.number("original_width"));
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert_eq!(members.len(), 3 * rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_made_as_small_as_asked() {
    let (web, folder) = (web(8).await, tempfile::tempdir().unwrap());
    crawl(&web, folder.path(), &["--images=keep_ratio:100"]);
    let rows = pairs(folder.path());
    for row in &rows {
        let original = shorter_side(row, "original_height", "original_width");
        assert_eq!(shorter_side(row, "HEIGHT", "WIDTH"), original.min(100));
    }
    let members = members(folder.path());
    let images = members.keys().filter(|name| name.ends_with(".jpg"));
    assert_eq!(images.count(), rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_can_be_left_out() {
    let (web, folder) = (web(8).await, tempfile::tempdir().unwrap());
    crawl(&web, folder.path(), &["--images=none"]);
    assert!(files_below(&folder.path().join("images")).is_empty());
    let rows = pairs(folder.path());
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!(row.number("HEIGHT"), row.number("original_height"));
    }
    assert!(!files_below(&folder.path().join("img_emb")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_languages_that_are_wanted_become_candidates() {
    let (web, folder) = (web(24).await, tempfile::tempdir().unwrap());
    let candidates = web.truth().candidates().iter();
    let foreign = candidates.filter(|c| c.wat == 0 && c.language != "en");
    let wanted: BTreeSet<_> = foreign.map(|c| c.language.to_uppercase()).collect();
    let wanted = wanted.first().expect("some pages are in other languages");
    crawl(&web, folder.path(), &[&format!("--languages={wanted}")]);
    let rows = pairs(folder.path());
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!(row.text("LANGUAGE"), wanted.to_lowercase());
    }
    let outcomes = outcomes(&manifests(folder.path()).await);
    assert!(outcomes.get(Outcome::LanguageNotWanted) > outcomes.get(Outcome::Kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_by_default_can_be_kept() {
    let (web, folder) = (web(24).await, tempfile::tempdir().unwrap());
    let (strict, lax) = (folder.path().join("strict"), folder.path().join("lax"));
    crawl(&web, &strict, &[]);
    let flags = [
        "--keep-unsafe",
        "--ignore-opt-out=noai",
        "--ignore-opt-out=tdm-reservation",
    ];
    crawl(&web, &lax, &flags);
    let strict_outcomes = outcomes(&manifests(&strict).await);
    let lax_outcomes = outcomes(&manifests(&lax).await);
    let mut moved = 0;
    for outcome in [Outcome::Unsafe, Outcome::RobotsNoai, Outcome::TdmReserved] {
        assert!(strict_outcomes.get(outcome) > 0, "{outcome}");
        assert_eq!(lax_outcomes.get(outcome), 0, "{outcome}");
        moved += strict_outcomes.get(outcome);
    }
    let kept = Outcome::Kept;
    assert_eq!(lax_outcomes.get(kept), strict_outcomes.get(kept) + moved);
    for still in [Outcome::RobotsNoindex, Outcome::RobotsNoimageai] {
        assert_eq!(lax_outcomes.get(still), strict_outcomes.get(still));
    }
    let tagged = |out: &Path| {
        let pairs = pairs(out).into_iter();
        pairs.filter(|row| row.text("NSFW") == "NSFW").count() as u64
    };
    assert_eq!(tagged(&strict), 0);
    assert!(tagged(&lax) >= strict_outcomes.get(Outcome::Unsafe));
}

#[tokio::test(flavor = "multi_thread")]
async fn licences_and_languages_are_those_of_the_truth() {
    let (web, folder) = (web(60).await, tempfile::tempdir().unwrap());
    crawl(&web, folder.path(), &[]);
    let mut truth: BTreeMap<(&str, &str), &Candidate> = BTreeMap::new();
    for candidate in web.truth().candidates() {
        let pair = (candidate.url.as_str(), candidate.text.as_str());
        truth.entry(pair).or_insert(candidate);
    }
    let rows = pairs(folder.path());
    let (mut licensed, mut foreign, mut open) = (0, 0, 0);
    for row in &rows {
        let candidate = truth[&(row.text("URL"), row.text("TEXT"))];
        let licence = candidate.licence.as_deref().unwrap_or("?");
        assert_eq!(row.text("LICENSE"), licence, "{}", candidate.page_url);
        licensed += usize::from(licence != "?");
        foreign += usize::from(candidate.language != "en");
        match row.text("LANGUAGE") {
            "" => open += 1,
            language => assert_eq!(language, candidate.language, "{}", candidate.text),
        }
    }
    assert!(licensed > 10 && licensed < rows.len(), "{licensed}");
    assert!(foreign >= 5, "{foreign}");
    // A detector that is not sure says so, which should be rare.
    assert!(open * 10 <= rows.len(), "{open}");
}
