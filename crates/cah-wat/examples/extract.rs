//! Extracts the rows of a WAT file as cc2dataset does, for the benchmark in `bench/wat`.
//!
//! `cargo run --release -p cah-wat --example extract -- WAT [DOCUMENT_TYPE] [ROWS]` prints the
//! number of rows; with ROWS it writes them there, each a JSON array of uid, url, alt,
//! cc_filename and page_url.

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufWriter, Read as _, Write},
};

use cah_wat::{Options, Page, PageReader, uid};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: extract WAT [DOCUMENT_TYPE] [ROWS]")?;
    let document_type = arguments.next().as_deref().unwrap_or("image").parse()?;
    let mut rows = match arguments.next() {
        Some(path) => Some(BufWriter::new(File::create(path)?)),
        None => None,
    };

    let (mut count, mut failed) = (0_u64, None);
    let mut take = |page: Page<'_>| {
        for link in &page.links {
            let row = [
                &*uid(&link.alt, &link.url),
                &link.url,
                &link.alt,
                &page.cc_filename,
                &page.url,
            ];
            count += 1;
            if let Some(rows) = &mut rows {
                failed = write_row(rows, &row).err().or(failed.take());
            }
        }
    };

    let mut file = File::open(path)?;
    let mut pages = PageReader::new(Options {
        document_type,
        raw: true,
    });
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        pages.decode(&buffer[..length], &mut take)?;
    }
    let report = pages.finish(&mut take)?;

    if let Some(error) = failed {
        return Err(error.into());
    }
    if let Some(mut rows) = rows {
        rows.flush()?;
    }
    writeln!(std::io::stdout(), "{count}")?;
    if !report.is_whole() {
        writeln!(std::io::stderr(), "{report:?}")?;
    }
    Ok(())
}

fn write_row(rows: &mut impl Write, row: &[&str; 5]) -> std::io::Result<()> {
    serde_json::to_writer(&mut *rows, row)?;
    rows.write_all(b"\n")
}
