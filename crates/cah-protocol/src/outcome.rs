//! Why a candidate left the pipeline.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// The step of the pipeline that gives an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Rules over URL and alternative text; nothing was requested.
    Rules,
    /// The request for the image.
    Fetch,
    /// The bytes of the image.
    Decode,
    /// What the model says about image and caption.
    Match,
    /// The pair is in the dataset.
    Kept,
}

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal in $phase:ident,)*) => {
        /// Where a candidate ended. The list is closed: each candidate ends in exactly one.
        ///
        /// The names are stable; they stand in manifests, tables and on the dashboard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Outcome {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Outcome {
            /// Every outcome, in the order of the pipeline.
            pub const ALL: &[Outcome] = &[$(Outcome::$variant),*];

            /// The stable snake_case name.
            pub const fn name(self) -> &'static str {
                match self { $(Outcome::$variant => $name,)* }
            }

            /// The step of the pipeline that gives this outcome.
            pub const fn phase(self) -> Phase {
                match self { $(Outcome::$variant => Phase::$phase,)* }
            }
        }
    };
}

outcomes! {
    /// The address is not an absolute http(s) URL once it is joined to its page.
    UrlInvalid = "url_invalid" in Rules,
    /// The URL is longer than the limit.
    UrlTooLong = "url_too_long" in Rules,
    /// The path ends like a file that is no photograph (`.svg`, `.ico`, …).
    UrlExtension = "url_extension" in Rules,
    /// The repaired text is shorter than the limit.
    TextTooShort = "text_too_short" in Rules,
    /// The repaired text is longer than the limit.
    TextTooLong = "text_too_long" in Rules,
    /// The text is not in one of the languages that the operator asked for.
    LanguageNotWanted = "language_not_wanted" in Rules,
    /// The same URL and text were taken before.
    Duplicate = "duplicate" in Rules,
    /// The shard has no sample ids left.
    ShardFull = "shard_full" in Rules,

    /// The host name does not resolve.
    DnsFailed = "dns_failed" in Fetch,
    /// The address is private, link-local or otherwise not on the public Internet.
    PrivateAddress = "private_address" in Fetch,
    /// No connection to the host.
    ConnectFailed = "connect_failed" in Fetch,
    /// The host's certificate or handshake is not acceptable.
    TlsFailed = "tls_failed" in Fetch,
    /// The deadline over connect, headers and body ran out.
    TimedOut = "timed_out" in Fetch,
    /// A redirect to nowhere, in a circle, or one too many.
    BadRedirect = "bad_redirect" in Fetch,
    /// The server answered with an error status.
    HttpStatus = "http_status" in Fetch,
    /// Opted out: `X-Robots-Tag: noai`.
    RobotsNoai = "robots_noai" in Fetch,
    /// Opted out: `X-Robots-Tag: noimageai`.
    RobotsNoimageai = "robots_noimageai" in Fetch,
    /// Opted out: `X-Robots-Tag: noindex` (or `none`).
    RobotsNoindex = "robots_noindex" in Fetch,
    /// Opted out: `X-Robots-Tag: noimageindex`.
    RobotsNoimageindex = "robots_noimageindex" in Fetch,
    /// Opted out: `tdm-reservation: 1`.
    TdmReserved = "tdm_reserved" in Fetch,
    /// The server says that the body is not an image.
    WrongContentType = "wrong_content_type" in Fetch,
    /// The body is longer than the limit.
    BodyTooLarge = "body_too_large" in Fetch,
    /// The connection broke while the answer came, or the body is shorter than announced.
    TransferFailed = "transfer_failed" in Fetch,

    /// Fewer bytes than an image worth having.
    ImageTooSmall = "image_too_small" in Decode,
    /// The bytes are no JPEG, PNG, WEBP or GIF.
    UnknownFormat = "unknown_format" in Decode,
    /// More pixels than the limit.
    TooManyPixels = "too_many_pixels" in Decode,
    /// The bytes begin like an image and do not decode.
    ImageDamaged = "image_damaged" in Decode,

    /// Image and text are less alike than the threshold.
    LowSimilarity = "low_similarity" in Match,
    /// The model takes the image for unsafe; it is not stored.
    Unsafe = "unsafe" in Match,

    /// The pair is in the dataset.
    Kept = "kept" in Kept,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many candidates ended in each outcome. Outcomes without a candidate take no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutcomeCounts(BTreeMap<Outcome, u64>);

impl OutcomeCounts {
    /// Counts one more candidate.
    pub fn add(&mut self, outcome: Outcome) {
        *self.0.entry(outcome).or_default() += 1;
    }

    /// Counts more candidates of an outcome by its name; a name that is none counts nowhere.
    pub fn add_named(&mut self, name: &str, candidates: u64) {
        let outcome = Outcome::ALL.iter().find(|outcome| outcome.name() == name);
        if let Some(outcome) = outcome
            && candidates > 0
        {
            *self.0.entry(*outcome).or_default() += candidates;
        }
    }

    /// How many ended in `outcome`.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0.get(&outcome).copied().unwrap_or_default()
    }

    /// The number of candidates: the sum over all outcomes.
    pub fn candidates(&self) -> u64 {
        self.0.values().sum()
    }

    /// The outcomes that occurred with their counts, in the order of the pipeline.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        self.0.iter().map(|(outcome, count)| (*outcome, *count))
    }
}

impl AddAssign<&OutcomeCounts> for OutcomeCounts {
    fn add_assign(&mut self, other: &OutcomeCounts) {
        for (outcome, count) in other.iter() {
            *self.0.entry(outcome).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_are_what_serde_writes() {
        let mut names: Vec<_> = Outcome::ALL.iter().map(|o| o.name()).collect();
        for outcome in Outcome::ALL {
            let json = serde_json::to_value(outcome).unwrap();
            assert_eq!(json, outcome.name());
            assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), *outcome);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Outcome::ALL.len());
    }

    #[test]
    fn counts_add_up_and_merge() {
        let mut a = OutcomeCounts::default();
        a.add(Outcome::Kept);
        a.add(Outcome::Kept);
        a.add(Outcome::TimedOut);
        let mut b = OutcomeCounts::default();
        b.add(Outcome::Kept);
        b += &a;
        assert_eq!(b.get(Outcome::Kept), 3);
        assert_eq!(b.candidates(), 4);
        assert_eq!(
            serde_json::to_string(&b).unwrap(),
            r#"{"timed_out":1,"kept":3}"#
        );
    }
}
