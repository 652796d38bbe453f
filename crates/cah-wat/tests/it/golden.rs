//! The rows that the Python peer takes, and nothing else; `bench/wat/golden.py` wrote the files.

use std::collections::BTreeMap;

use cah_wat::{DocumentType, Options, Page, PageReader, uid};

const WAT: &[u8] = include_bytes!("../data/pages.wat.gz");
const ROWS: &str = include_str!("../data/pages.jsonl");

type Row = [String; 5];

fn rows(options: Options) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut take = |page: Page<'_>| {
        for link in &page.links {
            let uid = uid(&link.alt, &link.url);
            let row = [&*uid, &link.url, &link.alt, &page.cc_filename, &page.url];
            rows.push(row.map(str::to_owned));
        }
    };
    let mut pages = PageReader::new(options);
    pages.decode(WAT, &mut take).unwrap();
    assert!(pages.finish(&mut take).unwrap().is_whole());
    rows
}

#[test]
fn raw_rows_are_exactly_those_of_cc2dataset() {
    let mut golden: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in ROWS.lines() {
        let (kind, uid, url, alt, file, page): (String, _, _, _, _, _) =
            serde_json::from_str(line).unwrap();
        golden
            .entry(kind)
            .or_default()
            .push([uid, url, alt, file, page]);
    }
    for document_type in DocumentType::ALL {
        let ours = rows(Options {
            document_type,
            raw: true,
        });
        assert_eq!(ours, golden[document_type.name()], "{document_type}");
    }
}

#[test]
fn without_raw_there_are_only_more_links() {
    for document_type in DocumentType::ALL {
        let raw = rows(Options {
            document_type,
            raw: true,
        });
        let all = rows(Options {
            document_type,
            raw: false,
        });
        let mut rest = all.iter();
        assert!(
            raw.iter().all(|row| rest.any(|other| other == row)),
            "{document_type}"
        );
    }
}

#[test]
fn document_types_are_called_as_cc2dataset_calls_them() {
    for document_type in DocumentType::ALL {
        assert_eq!(document_type.to_string().parse(), Ok(document_type));
    }
    let error = "images".parse::<DocumentType>().unwrap_err();
    assert!(error.to_string().contains("image_only"), "{error}");
}
