//! WAT files to tables of links.

use cah_protocol::Outcome;
use cah_wat::{DocumentType, Options};
use cah_worker::{ExtractConfig, Extracted, Progress, extract_candidates};

use crate::support::{image, link, wat};

async fn extract(document_type: DocumentType, links: &[String]) -> Extracted {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("a.wat.gz").display().to_string();
    let table = folder.path().join("a.parquet").display().to_string();
    std::fs::write(&source, wat(links)).unwrap();
    let config = ExtractConfig {
        options: Options {
            document_type,
            raw: false,
        },
        ..ExtractConfig::default()
    };
    extract_candidates(&[source], &table, &config, |_| Progress::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn captions_are_judged_and_other_texts_are_not() {
    let long = "a".repeat(2000);
    let images = [
        image("/a.jpg", ""),
        image("/b.jpg", "b"),
        image("/c.jpg", &long),
        image("/d.jpg", "a caption"),
        image("/e.svg", "a drawing"),
    ];
    let captioned = extract(DocumentType::Image, &images).await;
    assert_eq!(captioned.rows, 1);
    assert_eq!(captioned.rejected.get(Outcome::TextTooShort), 1);
    assert_eq!(captioned.rejected.get(Outcome::TextTooLong), 1);
    assert_eq!(captioned.rejected.get(Outcome::UrlExtension), 1);

    let any = extract(DocumentType::ImageOnly, &images).await;
    assert_eq!(any.rows, 4);
    assert_eq!(any.rejected.get(Outcome::UrlExtension), 1);
    assert_eq!(any.rejected.candidates(), 1);
}

#[tokio::test]
async fn other_documents_need_no_text() {
    for (document_type, ending) in [
        (DocumentType::Audio, "mp3"),
        (DocumentType::Video, "mp4"),
        (DocumentType::Text, "pdf"),
    ] {
        let links = [
            link(&format!("/a.{ending}"), ""),
            link(&format!("/b.{ending}"), &"b".repeat(2000)),
            // An ending that no photograph has, of a file that is none.
            link(&format!("/c.svg?.{ending}"), "c"),
        ];
        let extracted = extract(document_type, &links).await;
        assert_eq!(
            extracted.rows, 3,
            "{document_type}: {:?}",
            extracted.rejected
        );
    }
}
