//! What owners say about the use of an image in the headers of its answer.
//!
//! `X-Robots-Tag` as Google and MDN document it (`X-Robots-Tag: <bot-name>: <rule>, …, <rule>`):
//! several headers, comma lists, and an agent's name with a colon before the rules that are only
//! for it. All rules up to the next name or the end of the header are that agent's: in
//! `otherbot: noindex, noai` nothing is said to us. `tdm-reservation` after the TDM Reservation
//! Protocol of the W3C community group. What the documents leave open (`;` for a comma, a value
//! behind `noai`) is read as the owner's wish.

use std::fmt;

use http::HeaderMap;

/// An owner's wish that is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptOut {
    /// `X-Robots-Tag: noai`.
    Noai,
    /// `X-Robots-Tag: noimageai`.
    Noimageai,
    /// `X-Robots-Tag: noindex` or `none`.
    Noindex,
    /// `X-Robots-Tag: noimageindex`.
    Noimageindex,
    /// `tdm-reservation: 1`.
    TdmReserved,
}

impl fmt::Display for OptOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noai => "X-Robots-Tag noai",
            Self::Noimageai => "X-Robots-Tag noimageai",
            Self::Noindex => "X-Robots-Tag noindex",
            Self::Noimageindex => "X-Robots-Tag noimageindex",
            Self::TdmReserved => "tdm-reservation",
        })
    }
}

/// Which opt-outs are honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptOuts {
    /// `X-Robots-Tag: noai`.
    pub noai: bool,
    /// `X-Robots-Tag: noimageai`.
    pub noimageai: bool,
    /// `X-Robots-Tag: noindex` and `none`.
    pub noindex: bool,
    /// `X-Robots-Tag: noimageindex`.
    pub noimageindex: bool,
    /// `tdm-reservation: 1`.
    pub tdm_reservation: bool,
}

impl Default for OptOuts {
    /// All of them.
    fn default() -> Self {
        Self {
            noai: true,
            noimageai: true,
            noindex: true,
            noimageindex: true,
            tdm_reservation: true,
        }
    }
}

impl OptOuts {
    fn honours(self, opt_out: OptOut) -> bool {
        match opt_out {
            OptOut::Noai => self.noai,
            OptOut::Noimageai => self.noimageai,
            OptOut::Noindex => self.noindex,
            OptOut::Noimageindex => self.noimageindex,
            OptOut::TdmReserved => self.tdm_reservation,
        }
    }
}

/// Which opt-outs count, and under which names we are spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    honoured: OptOuts,
    /// In lower case.
    agents: Vec<String>,
}

impl Wishes {
    pub(crate) fn new(honoured: OptOuts, agents: Vec<String>) -> Self {
        Self { honoured, agents }
    }

    /// The first honoured opt-out in the order of [`OptOut`], whatever the headers' order.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Option<OptOut> {
        let robots = values(headers, "x-robots-tag");
        let robots = robots.flat_map(|value| self.robots_rules(&value));
        let reserved = values(headers, "tdm-reservation")
            .any(|value| value.split(',').any(|part| part.trim() == "1"));
        robots
            .chain(reserved.then_some(OptOut::TdmReserved))
            .filter(|opt_out| self.honoured.honours(*opt_out))
            .min()
    }

    /// The rules of one header that are for us. An agent's name holds until the next one.
    fn robots_rules(&self, value: &str) -> Vec<OptOut> {
        let mut for_us = true;
        let mut rules = Vec::new();
        for part in value.split([',', ';']) {
            let (agent, rule) = split_agent(part.trim());
            if let Some(agent) = agent {
                for_us = agent == "*" || self.agents.iter().any(|a| agent.eq_ignore_ascii_case(a));
            }
            if for_us {
                rules.extend(rule.split_ascii_whitespace().filter_map(rule_of));
            }
        }
        rules
    }
}

/// Headers from outside are bytes; what is not UTF-8 is nothing that we know.
fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = String> + 'h {
    let values = headers.get_all(name).into_iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn rule_of(word: &str) -> Option<OptOut> {
    match word.to_ascii_lowercase().as_str() {
        "noai" => Some(OptOut::Noai),
        "noimageai" => Some(OptOut::Noimageai),
        "noindex" | "none" => Some(OptOut::Noindex),
        "noimageindex" => Some(OptOut::Noimageindex),
        _ => None,
    }
}

/// Splits `agent: rule`. A colon also stands behind rules that have a value, and in the dates
/// and numbers that are their values; none of these is an agent.
fn split_agent(part: &str) -> (Option<&str>, &str) {
    match part.split_once(':') {
        Some((name, rule)) if is_agent(name.trim()) => (Some(name.trim()), rule.trim()),
        Some((name, _)) if is_rule(name.trim()) => (None, name.trim()),
        _ => (None, part),
    }
}

fn is_agent(name: &str) -> bool {
    let letter_first = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let token = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte));
    name == "*" || letter_first && token && !is_rule(name)
}

fn is_rule(name: &str) -> bool {
    const WITH_VALUE: [&str; 4] = [
        "unavailable_after",
        "max-snippet",
        "max-image-preview",
        "max-video-preview",
    ];
    rule_of(name).is_some()
        || WITH_VALUE
            .iter()
            .any(|rule| name.eq_ignore_ascii_case(rule))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn wishes(honoured: OptOuts) -> Wishes {
        Wishes::new(honoured, vec!["crawlingathome".into(), "our-bot".into()])
    }

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn robots(values: &[&str]) -> Option<OptOut> {
        let pairs: Vec<_> = values
            .iter()
            .map(|value| ("x-robots-tag", value.as_bytes()))
            .collect();
        wishes(OptOuts::default()).find(&headers(&pairs))
    }

    #[rstest]
    #[case("noai", OptOut::Noai)]
    #[case("NoAI", OptOut::Noai)]
    #[case("noimageai", OptOut::Noimageai)]
    #[case("noindex", OptOut::Noindex)]
    #[case("none", OptOut::Noindex)]
    #[case("noimageindex", OptOut::Noimageindex)]
    #[case("nofollow,noimageindex", OptOut::Noimageindex)]
    #[case("noindex, nofollow", OptOut::Noindex)]
    #[case("  noarchive ,  noindex  ", OptOut::Noindex)]
    #[case("noimageai, noai", OptOut::Noai)]
    #[case("nofollow; noai", OptOut::Noai)]
    #[case("nofollow noai", OptOut::Noai)]
    #[case("crawlingathome: noindex", OptOut::Noindex)]
    #[case("CrawlingAtHome:noai", OptOut::Noai)]
    #[case("our-bot: nofollow, noai", OptOut::Noai)]
    #[case("*: noai", OptOut::Noai)]
    #[case("otherbot: nofollow, our-bot: noindex", OptOut::Noindex)]
    #[case("noai, otherbot: nofollow", OptOut::Noai)]
    #[case(
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noindex",
        OptOut::Noindex
    )]
    #[case(
        "unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noindex",
        OptOut::Noindex
    )]
    #[case("unavailable_after: 2010-06-25T15:00:00Z, noai", OptOut::Noai)]
    #[case("max-snippet: 20, max-image-preview:large, noai", OptOut::Noai)]
    #[case(
        "our-bot: unavailable_after: 1 Jan 2020 10:00:00 GMT, noai",
        OptOut::Noai
    )]
    #[case("noai: 1", OptOut::Noai)]
    fn is_an_opt_out(#[case] value: &str, #[case] expected: OptOut) {
        assert_eq!(robots(&[value]), Some(expected));
    }

    #[rstest]
    #[case("")]
    #[case("all")]
    #[case("index, follow")]
    #[case("nofollow, noarchive, nosnippet, notranslate, noodp")]
    #[case("otherbot: noindex")]
    #[case("our-bot: nofollow, otherbot: noindex, noai")]
    #[case("otherbot: unavailable_after: 25 Jun 2010 15:00:00 PST, noindex")]
    #[case("unavailable_after: 25 Jun 2010 15:00:00 PST")]
    #[case("max-image-preview: none")]
    #[case("noaim, xnoai, no ai")]
    #[case(",,::,")]
    fn is_none(#[case] value: &str) {
        assert_eq!(robots(&[value]), None);
    }

    /// The published meaning of a list behind a name, from both sides.
    #[test]
    fn a_list_behind_a_name_is_all_that_agents() {
        assert_eq!(robots(&["otherbot: noindex, noai"]), None);
        let both = "otherbot: noindex, our-bot: nofollow, noai";
        assert_eq!(robots(&[both]), Some(OptOut::Noai));
    }

    #[test]
    fn every_header_counts_and_an_agent_holds_for_its_own_header_only() {
        assert_eq!(
            robots(&["otherbot: noindex", "noimageai"]),
            Some(OptOut::Noimageai)
        );
        assert_eq!(robots(&["noindex", "nofollow", "noai"]), Some(OptOut::Noai));
    }

    #[rstest]
    #[case("1", true)]
    #[case(" 1 ", true)]
    #[case("0, 1", true)]
    #[case("0", false)]
    #[case("", false)]
    #[case("11", false)]
    fn a_reservation_is_a_one(#[case] value: &str, #[case] reserved: bool) {
        let headers = headers(&[("tdm-reservation", value.as_bytes())]);
        let found = wishes(OptOuts::default()).find(&headers);
        assert_eq!(found, reserved.then_some(OptOut::TdmReserved));
    }

    #[test]
    fn each_can_be_switched_off_alone() {
        let all = [
            ("x-robots-tag", &b"noai, noimageai, none, noimageindex"[..]),
            ("tdm-reservation", b"1"),
        ];
        let headers = headers(&all);
        let mut honoured = OptOuts::default();
        let found = |honoured| wishes(honoured).find(&headers);
        assert_eq!(found(honoured), Some(OptOut::Noai));
        honoured.noai = false;
        assert_eq!(found(honoured), Some(OptOut::Noimageai));
        honoured.noimageai = false;
        assert_eq!(found(honoured), Some(OptOut::Noindex));
        honoured.noindex = false;
        assert_eq!(found(honoured), Some(OptOut::Noimageindex));
        honoured.noimageindex = false;
        assert_eq!(found(honoured), Some(OptOut::TdmReserved));
        honoured.tdm_reservation = false;
        assert_eq!(found(honoured), None);
    }

    #[test]
    fn bytes_that_are_no_text_hide_nothing() {
        let headers = headers(&[("x-robots-tag", b"\xff\xfe, noai")]);
        let found = wishes(OptOuts::default()).find(&headers);
        assert_eq!(found, Some(OptOut::Noai));
    }

    proptest! {
        #[test]
        fn rules_without_an_agent_are_found_wherever_they_stand(
            before in prop::collection::vec("(nofollow|noarchive|max-snippet: [0-9]{1,3}|[a-z]{0,6})", 0..4),
            after in prop::collection::vec("[ -~]{0,20}", 0..4),
            rule in prop::sample::select(vec!["noai", "NOAI", " noai ", "NoAi"]),
        ) {
            let parts: Vec<_> = before.into_iter().chain([rule.to_owned()]).chain(after).collect();
            prop_assert_eq!(robots(&[&parts.join(",")]), Some(OptOut::Noai));
        }

        #[test]
        fn no_bytes_cause_a_panic(value in prop::collection::vec(0x20_u8..=0xff, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut map = HeaderMap::new();
                map.insert("x-robots-tag", value);
                wishes(OptOuts::default()).find(&map);
            }
        }
    }
}
