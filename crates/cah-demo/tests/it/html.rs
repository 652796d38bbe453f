//! The links of a page as they stand in its HTML: enough of a parser for the mini web's pages.

/// Path, URL and alternative text of a link, as a WAT has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) url: String,
    pub(crate) alt: Option<String>,
    pub(crate) text: Option<String>,
}

/// Every `img` and `a` of the body in order. Entities stay as they are, as in a WAT.
pub(crate) fn links(html: &str) -> Vec<Link> {
    let (_, body) = html.split_once("<body>").unwrap();
    body.split('<')
        .filter_map(|piece| {
            let (tag, text) = piece.split_once('>')?;
            let (name, attributes) = tag.split_once(' ')?;
            match name {
                "img" => Some(Link {
                    path: "IMG@/src".to_owned(),
                    url: attribute(attributes, "src")?,
                    alt: attribute(attributes, "alt"),
                    text: None,
                }),
                "a" => Some(Link {
                    path: "A@/href".to_owned(),
                    url: attribute(attributes, "href")?,
                    alt: None,
                    text: Some(text.to_owned()),
                }),
                _ => None,
            }
        })
        .collect()
}

/// The value of `<base href>`.
pub(crate) fn base(html: &str) -> Option<String> {
    let (_, tag) = html.split_once("<base ")?;
    attribute(tag, "href")
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let (_, value) = attributes.split_once(&format!("{name}=\""))?;
    Some(value.split_once('"')?.0.to_owned())
}
