//! Gzip undone where there is some.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

/// How every gzip member begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;

type Buffered<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Reads bytes as they are, or inflated where they begin as gzip does.
///
/// Gzip may be of any number of members, and zeros may stand between and behind them, as tape blocks
/// have them. What else stands there, a wrong checksum, and a last member that is cut off are errors
/// of [`InvalidData`](io::ErrorKind::InvalidData), [`InvalidInput`](io::ErrorKind::InvalidInput) or
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
#[derive(Debug)]
pub struct Gunzip<R>(State<R>);

#[derive(Debug)]
enum State<R> {
    Plain(Buffered<R>),
    Member(GzDecoder<Buffered<R>>),
    Between(Buffered<R>),
    /// After the end, and after an error.
    Over,
}

impl<R: Read> Gunzip<R> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// What reading them says.
    pub fn new(mut reader: R) -> io::Result<Self> {
        let mut head = Vec::with_capacity(MAGIC.len());
        reader
            .by_ref()
            .take(MAGIC.len() as u64)
            .read_to_end(&mut head)?;
        let is_gzip = head == MAGIC;
        let buffered = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
        Ok(Self(match is_gzip {
            true => State::Between(buffered),
            false => State::Plain(buffered),
        }))
    }

    /// The state after the space between two members.
    fn after_space(mut reader: Buffered<R>) -> io::Result<State<R>> {
        loop {
            let bytes = reader.fill_buf()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            match (bytes.len(), zeros) {
                (0, _) => return Ok(State::Over),
                (all, zeros) if zeros < all => {
                    reader.consume(zeros);
                    return Ok(State::Member(GzDecoder::new(reader)));
                }
                (all, _) => reader.consume(all),
            }
        }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.0 = match std::mem::replace(&mut self.0, State::Over) {
                State::Over => return Ok(0),
                State::Plain(mut reader) => {
                    let read = reader.read(buffer);
                    self.0 = State::Plain(reader);
                    return read;
                }
                State::Between(reader) => Self::after_space(reader)?,
                State::Member(mut member) => match member.read(buffer)? {
                    0 => State::Between(member.into_inner()),
                    read => {
                        self.0 = State::Member(member);
                        return Ok(read);
                    }
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Gives its bytes a few at a time.
    struct Sips<'a>(&'a [u8], usize);

    impl Read for Sips<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    fn read(bytes: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Gunzip::new(Sips(bytes, step))?.read_to_end(&mut all)?;
        Ok(all)
    }

    proptest! {
        #[test]
        fn members_come_one_after_the_other(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 1..5),
            padding in prop::collection::vec(0_usize..20, 5),
            step in 1_usize..700,
        ) {
            let members = texts.iter().zip(&padding);
            let file: Vec<u8> = members
                .flat_map(|(text, zeros)| [gzip(text), vec![0; *zeros]].concat())
                .collect();
            prop_assert_eq!(read(&file, step).unwrap(), texts.concat());
        }

        #[test]
        fn a_cut_is_noticed(text in prop::collection::vec(any::<u8>(), 0..500), cut in 1_usize..30) {
            let mut file = [gzip(b"whole"), gzip(&text)].concat();
            let end = file.len() - cut.min(gzip(&text).len() - 1);
            file.truncate(end);
            prop_assert!(read(&file, 100).is_err());
        }
    }

    #[test]
    fn what_is_no_gzip_is_left_alone() {
        for plain in [&b""[..], b"\x1f", b"\x1f\x8c text", b"WARC/1.0\r\n"] {
            assert_eq!(read(plain, 3).unwrap(), plain);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let mut wrong = gzip(b"some text");
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert!(read(&wrong, 100).is_err());
        let behind = [gzip(b"some text"), b"<html>".to_vec()].concat();
        assert!(read(&behind, 100).is_err());
    }
}
