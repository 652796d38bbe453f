//! Which links become candidates.

use std::collections::BTreeSet;

use cah_wat::{Candidate, Extractor, Link, Options, Page, Rejection, Rule, Rules, UNDETERMINED};
use rstest::rstest;

use crate::language::detector;

fn page() -> Page<'static> {
    Page {
        url: "https://example.com/page".into(),
        cc_filename: "a.warc.gz".into(),
        license: Some("https://creativecommons.org/licenses/by/4.0/".to_owned()),
        links: Vec::new(),
    }
}

fn judge(rules: &Rules, url: &str, alt: &str) -> Result<Candidate, Rejection> {
    rules.judge(
        &page(),
        &Link {
            url: url.into(),
            alt: alt.into(),
        },
    )
}

#[test]
fn a_good_link_becomes_a_candidate_with_all_that_is_known() {
    let rules = Rules {
        detector: Some(detector()),
        ..Rules::default()
    };
    let candidate = judge(
        &rules,
        "https://example.com/a.jpg",
        " A dog  &amp; a cat on the sofa\n",
    );
    let expected = Candidate {
        url: "https://example.com/a.jpg".to_owned(),
        text: "A dog & a cat on the sofa".to_owned(),
        page_url: "https://example.com/page".to_owned(),
        license: Some("https://creativecommons.org/licenses/by/4.0/".to_owned()),
        language: "en",
        cc_filename: "a.warc.gz".to_owned(),
    };
    assert_eq!(candidate.as_ref(), Ok(&expected));
    // The md5 of "A dog & a cat on the sofahttps://example.com/a.jpg".
    assert_eq!(expected.uid(), "28f1c4875755bbbe7897a0e0812c6e73");
}

#[rstest]
#[case::plain("https://example.com/a.jpg", None)]
#[case::no_extension("https://example.com/a?file=x.svg", None)]
#[case::name_of_a_format_inside("https://example.com/a.svg/120px-a.svg.png", None)]
#[case::upper_case_scheme("HTTPS://example.com/a.jpg", None)]
#[case::white_space(" https://example.com/a.jpg\n", None)]
#[case::ipv6("http://[2001:db8::1]/a.jpg", None)]
#[case::relative("a.jpg", Some(Rejection::UrlInvalid))]
#[case::empty("", Some(Rejection::UrlInvalid))]
#[case::data("data:image/png;base64,AAAA", Some(Rejection::UrlInvalid))]
#[case::script("javascript:void(0)", Some(Rejection::UrlInvalid))]
#[case::ftp("ftp://example.com/a.jpg", Some(Rejection::UrlInvalid))]
#[case::no_host("https:///", Some(Rejection::UrlInvalid))]
#[case::bad_port("https://example.com:x/", Some(Rejection::UrlInvalid))]
#[case::bad_host("https://exa mple.com/", Some(Rejection::UrlInvalid))]
#[case::vector("https://example.com/a.SVG?x=1#y", Some(Rejection::UrlExtension))]
#[case::animation("https://example.com/a.gif", Some(Rejection::UrlExtension))]
#[case::icon("https://example.com/favicon.ico", Some(Rejection::UrlExtension))]
fn urls_are_judged(#[case] url: &str, #[case] rejection: Option<Rejection>) {
    let result = judge(&Rules::default(), url, "A red bicycle");
    assert_eq!(result.err(), rejection, "{url}");
}

#[test]
fn candidates_have_tidy_urls() {
    let candidate = judge(
        &Rules::default(),
        " https://example.com/a\t\n.jpg ",
        "A red bicycle",
    );
    assert_eq!(candidate.unwrap().url, "https://example.com/a.jpg");
}

#[test]
fn urls_may_be_as_long_as_the_limit() {
    let url = |length: usize| format!("https://example.com/{}", "a".repeat(length - 20));
    let rules = Rules::default();
    assert!(judge(&rules, &url(2048), "A red bicycle").is_ok());
    let longer = judge(&rules, &url(2049), "A red bicycle");
    assert_eq!(longer.unwrap_err(), Rejection::UrlTooLong);
}

#[rstest]
#[case("12345", None)]
#[case("1234", Some(Rejection::TextTooShort))]
#[case("  1234  ", Some(Rejection::TextTooShort))]
#[case("&amp;234", Some(Rejection::TextTooShort))]
// Five characters, not bytes; entities count as what they stand for.
#[case("Größe", None)]
#[case("Maße", Some(Rejection::TextTooShort))]
#[case("", Some(Rejection::TextTooShort))]
fn texts_are_judged_after_the_repair(#[case] alt: &str, #[case] rejection: Option<Rejection>) {
    assert_eq!(
        judge(&Rules::default(), "https://example.com/a.jpg", alt).err(),
        rejection
    );
}

#[test]
fn texts_may_be_as_long_as_the_limit() {
    let rules = Rules::default();
    assert!(judge(&rules, "https://example.com/a.jpg", &"é".repeat(1000)).is_ok());
    let longer = judge(&rules, "https://example.com/a.jpg", &"é".repeat(1001));
    assert_eq!(longer.unwrap_err(), Rejection::TextTooLong);
}

#[test]
fn only_wanted_languages_are_kept() {
    let wanted = |codes: &[&str]| Rules {
        detector: Some(detector()),
        languages: Some(codes.iter().map(|code| (*code).to_owned()).collect()),
        ..Rules::default()
    };
    let english = "A red bicycle leaning against a wall";
    let german = "Ein rotes Fahrrad lehnt an einer Mauer";
    let judge = |rules: &Rules, text| judge(rules, "https://example.com/a.jpg", text);
    assert!(judge(&wanted(&["en", "fr"]), english).is_ok());
    assert_eq!(
        judge(&wanted(&["en", "fr"]), german),
        Err(Rejection::LanguageNotWanted)
    );
    assert_eq!(judge(&wanted(&["de"]), german).unwrap().language, "de");
    assert_eq!(
        judge(&wanted(&["de"]), "DSC_0012"),
        Err(Rejection::LanguageNotWanted)
    );
    assert_eq!(
        judge(&wanted(&[UNDETERMINED]), "DSC_0012")
            .unwrap()
            .language,
        ""
    );
}

/// A link that breaks every rule gives the reasons in their order as rules are switched off.
#[test]
fn each_rule_can_be_switched_off_by_its_name() {
    let strict = Rules {
        max_url_bytes: 5,
        min_text_chars: 50,
        max_text_chars: 2,
        extensions: BTreeSet::from(["jpg".to_owned()]),
        detector: Some(detector()),
        languages: Some(BTreeSet::new()),
        ..Rules::default()
    };
    let mut rules = strict.clone();
    for rejection in Rejection::ALL {
        let url = if rejection == Rejection::UrlInvalid {
            "a.jpg"
        } else {
            "https://e/a.jpg"
        };
        assert_eq!(judge(&rules, url, "Some text"), Err(rejection));
        rules.off.insert(rejection.name().parse().unwrap());
    }
    rules.off.insert("text_repair".parse().unwrap());
    let candidate = judge(&rules, "a.jpg", " a &amp; b ").unwrap();
    assert_eq!(
        (&*candidate.url, &*candidate.text),
        ("a.jpg", " a &amp; b ")
    );
    assert_eq!(rules.off, Rules::none().off);
}

#[test]
fn rules_have_names() {
    let names: Vec<_> = Rule::all().map(|rule| rule.to_string()).collect();
    assert_eq!(
        names,
        [
            "text_repair",
            "url_invalid",
            "url_too_long",
            "url_extension",
            "text_too_short",
            "text_too_long",
            "language_not_wanted",
        ]
    );
    let error = "no_such_rule".parse::<Rule>().unwrap_err().to_string();
    assert!(
        error.contains("no_such_rule") && error.contains("text_too_short"),
        "{error}"
    );
}

/// A page whose base is half its length, and whose links are short: each link is judged once, and
/// none of them is joined without end.
#[test]
fn a_page_with_an_endless_base_stays_as_large_as_it_is() {
    let head = format!(r#""Base":"https://example.com/{}/""#, "x".repeat(500_000));
    let image = r#"{"path":"IMG@/src","url":"a.jpg","alt":"A red bicycle"}"#;
    let links = vec![image; 20_000];
    let record = crate::wat::response("https://example.com/", &head, &links);
    let json = crate::wat::json(&record);
    let page_of = |raw| {
        let options = Options {
            raw,
            ..Options::default()
        };
        let page = Extractor::new(options).page_of_json(json);
        page.unwrap().unwrap()
    };
    let page = page_of(false);
    let total: usize = page.links.iter().map(|link| link.url.len()).sum();
    assert!(total < 200 << 20, "{total} bytes");
    let judged = page
        .links
        .iter()
        .map(|link| Rules::default().judge(&page, link));
    let reasons: Vec<_> = judged.map(|judged| judged.unwrap_err()).collect();
    assert_eq!(reasons.len(), 20_000);
    assert_eq!(reasons[0], Rejection::UrlTooLong);
    assert_eq!(reasons[19_999], Rejection::UrlInvalid);
    assert!(page_of(true).links.len() < 1_000, "no http(s) URLs");
}

#[test]
fn a_page_url_is_not_repeated_without_end() {
    let url = format!("https://example.com/{}", "x".repeat(500_000));
    let image = r#"{"path":"IMG@/src","url":"https://e/a.jpg","alt":"A red bicycle"}"#;
    let record = crate::wat::response(&url, "", &vec![image; 20_000]);
    let page = Extractor::new(Options::default()).page_of_json(crate::wat::json(&record));
    assert!(page.is_err());
}

/// From a record to the page's licence, links in the head and on the page.
#[rstest]
#[case::none("", r#"{"path":"A@/href","url":"https://example.com/"}"#, None)]
#[case::on_the_page(
    "",
    r#"{"path":"A@/href","url":"http:\/\/creativecommons.org\/licenses\/by\/4.0\/","text":"CC"}"#,
    Some("http://creativecommons.org/licenses/by/4.0/")
)]
#[case::the_head_says_so(
    r#""Link":[{"path":"LINK@/href","url":"https://creativecommons.org/publicdomain/zero/1.0/","rel":"license"}]"#,
    r#"{"path":"A@/href","url":"http://creativecommons.org/licenses/by/4.0/"}"#,
    Some("https://creativecommons.org/publicdomain/zero/1.0/")
)]
#[case::an_image_is_no_link(
    "",
    r#"{"path":"IMG@/src","url":"https://creativecommons.org/licenses/by/4.0/"}"#,
    None
)]
#[case::several(
    "",
    r#"{"path":"A@/href","url":"https://creativecommons.org/licenses/by/4.0/"},{"path":"A@/href","url":"https://creativecommons.org/licenses/by-nd/4.0/"}"#,
    None
)]
fn pages_have_a_licence(#[case] head: &str, #[case] link: &str, #[case] licence: Option<&str>) {
    let image = r#"{"path":"IMG@/src","url":"a.jpg","alt":"x"}"#;
    let record = crate::wat::response("https://example.com/", head, &[link, image]);
    let page = Extractor::new(Options::default())
        .page_of_json(crate::wat::json(&record))
        .unwrap()
        .unwrap();
    assert_eq!(page.license.as_deref(), licence);
}
