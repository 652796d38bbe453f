//! Writes a WAT file of the true shape, link-heavy, from a fixed seed.
//!
//! `cargo run --release -p cah-wat --example generate -- FILE MEBIBYTES` (inflated size).

use std::{env, error::Error, fmt::Write as _, fs::File, io::Write as _};

use flate2::{Compression, write::GzEncoder};

const WARC: &str = "CC-MAIN-20240517233122-20240518023122-00000.warc.gz";
const DATE: &str = "2024-05-18T01:58:10Z";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: generate FILE MEBIBYTES";
    let path = arguments.next().ok_or(usage)?;
    let target = arguments.next().ok_or(usage)?.parse::<usize>()? << 20;
    let mut file = File::create(path)?;
    let mut web = Web::new();
    let mut inflated = member(&mut file, "warcinfo", "", &warcinfo())?;
    while inflated < target {
        let uri = web.page_uri();
        inflated += member(&mut file, "metadata", &uri, &web.request(&uri))?;
        inflated += member(&mut file, "metadata", &uri, &web.response(&uri))?;
        inflated += member(&mut file, "metadata", &uri, &web.metadata(&uri))?;
    }
    Ok(())
}

/// Writes one record as one gzip member.
fn member(file: &mut File, kind: &str, uri: &str, body: &str) -> Result<usize, Box<dyn Error>> {
    let target = if uri.is_empty() {
        String::new()
    } else {
        format!("WARC-Target-URI: {uri}\r\n")
    };
    let format = if kind == "warcinfo" {
        "application/warc-fields"
    } else {
        "application/json"
    };
    let record = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\n{target}WARC-Date: {DATE}\r\n\
         WARC-Record-ID: <urn:uuid:3d3f4785-c69a-4f8c-968c-d23302c55ef4>\r\n\
         Content-Type: {format}\r\nContent-Length: {}\r\n\r\n{body}\r\n\r\n",
        body.len()
    );
    let mut encoder = GzEncoder::new(file, Compression::default());
    encoder.write_all(record.as_bytes())?;
    encoder.finish()?;
    Ok(record.len())
}

fn warcinfo() -> String {
    format!("Software-Info: a generator\r\nFilename: {WARC}\r\nformat: WARC File Format 1.0\r\n")
}

/// The SplitMix64 generator: enough for made-up pages, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

struct Web {
    random: Random,
    words: Vec<String>,
    hosts: Vec<String>,
}

impl Web {
    fn new() -> Self {
        let mut random = Random(20_241_123);
        let words = (0..6000)
            .map(|_| made_up_word(&mut random))
            .collect::<Vec<_>>();
        let hosts = (0..400)
            .map(|n| format!("www.{}-{n}.example", words[n * 7]))
            .collect();
        Web {
            random,
            words,
            hosts,
        }
    }

    /// Words by a falling frequency, as in any language.
    fn word(&mut self) -> &str {
        let spread = self.random.below(self.words.len()) + 1;
        let index = self.random.below(spread);
        &self.words[index]
    }

    fn words(&mut self, most: usize, joint: &str) -> String {
        let count = 1 + self.random.below(most);
        let words: Vec<String> = (0..count).map(|_| self.word().to_owned()).collect();
        words.join(joint)
    }

    fn host(&mut self) -> String {
        let index = self.random.below(self.hosts.len());
        self.hosts[index].clone()
    }

    fn page_uri(&mut self) -> String {
        format!(
            "https://{}/{}/{}",
            self.host(),
            self.word().to_owned(),
            self.words(4, "-")
        )
    }

    fn request(&mut self, uri: &str) -> String {
        let host = uri.split('/').nth(2).unwrap_or_default();
        let digest = self.digest();
        self.envelope(uri, "request", &format!(
            r#""HTTP-Request-Metadata":{{"Request-Message":{{"Method":"GET","Path":"/","Version":"HTTP/1.1"}},"Headers-Length":"263","Headers":{{"User-Agent":"CCBot/2.0 (https://commoncrawl.org/faq/)","Accept":"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8","Accept-Language":"en-US,en;q=0.5","Accept-Encoding":"br,gzip","Host":"{host}","Connection":"Keep-Alive"}},"Entity-Length":"0","Entity-Digest":"sha1:{digest}","Entity-Trailing-Slop-Length":"0"}}"#
        ))
    }

    fn metadata(&mut self, uri: &str) -> String {
        let time = self.random.below(2000);
        self.envelope(uri, "metadata", &format!(
            r#""WARC-Metadata-Metadata":{{"Metadata-Records":[{{"Name":"fetchTimeMs","Value":"{time}"}},{{"Name":"charset-detected","Value":"UTF-8"}},{{"Name":"languages-cld2","Value":"{{\"reliable\":true,\"text-bytes\":{time},\"languages\":[{{\"code\":\"en\",\"code-iso-639-3\":\"eng\",\"text-covered\":0.98,\"score\":988.0,\"name\":\"ENGLISH\"}}]}}"}}]}}"#
        ))
    }

    fn response(&mut self, uri: &str) -> String {
        let host = uri.split('/').nth(2).unwrap_or_default().to_owned();
        let (head, links) = (self.head(&host), self.links(&host));
        let (length, digest) = (self.random.below(200_000), self.digest());
        self.envelope(uri, "response", &format!(
            r#""HTTP-Response-Metadata":{{"Response-Message":{{"Version":"HTTP/1.1","Status":"200","Reason":"OK"}},"Headers-Length":"512","Headers":{{"Date":"Sat, 18 May 2024 01:58:10 GMT","Server":"nginx","Content-Type":"text/html; charset=utf-8","X-Crawler-Content-Encoding":"gzip","Vary":["Accept-Encoding","Cookie"],"Content-Length":"{length}"}},"HTML-Metadata":{{"Head":{head},"Links":[{links}]}},"Entity-Length":"{length}","Entity-Digest":"sha1:{digest}","Entity-Trailing-Slop-Length":"0"}}"#
        ))
    }

    fn envelope(&mut self, uri: &str, kind: &str, payload: &str) -> String {
        let offset = self.random.next() % 1_000_000_000;
        let length = self.random.below(100_000);
        let digest = self.digest();
        format!(
            r#"{{"Container":{{"Filename":"{WARC}","Compressed":true,"Offset":"{offset}","Gzip-Metadata":{{"Deflate-Length":"{length}","Header-Length":"10","Footer-Length":"8","Inflated-CRC":"{offset}","Inflated-Length":"{length}"}}}},"Envelope":{{"Payload-Metadata":{{"Actual-Content-Type":"application/http; msgtype={kind}",{payload},"Actual-Content-Length":"{length}","Trailing-Slop-Length":"4","Block-Digest":"sha1:{digest}"}},"Format":"WARC/1.0","WARC-Header-Length":"357","WARC-Header-Metadata":{{"WARC-Type":"{kind}","WARC-Date":"{DATE}","WARC-Record-ID":"<urn:uuid:292f457d-203c-42f2-a1b5-69a4dabefd4f>","Content-Length":"{length}","Content-Type":"application/http; msgtype={kind}","WARC-IP-Address":"208.80.154.224","WARC-Target-URI":"{uri}"}}}}}}"#
        )
    }

    fn digest(&mut self) -> String {
        const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        (0..32)
            .map(|_| char::from(BASE32[self.random.below(32)]))
            .collect()
    }

    fn head(&mut self, host: &str) -> String {
        let title = self.words(9, " ");
        let description = self.words(30, " ");
        let mut links = String::new();
        for _ in 0..3 + self.random.below(6) {
            let name = self.words(3, "-");
            let _ = write!(
                links,
                r#"{{"path":"LINK@/href","url":"https://{host}/assets/{name}.css","rel":"stylesheet","type":"text/css"}},"#
            );
        }
        if self.random.one_in(40) {
            links.push_str(r#"{"path":"LINK@/href","url":"https://creativecommons.org/licenses/by-sa/4.0/","rel":"license"},"#);
        }
        links.pop();
        let base = if self.random.one_in(20) {
            r#""Base":"/static/","#
        } else {
            ""
        };
        format!(
            r#"{{{base}"Title":"{title}","Metas":[{{"name":"viewport","content":"width=device-width, initial-scale=1"}},{{"name":"description","content":"{description}"}},{{"property":"og:title","content":"{title}"}}],"Link":[{links}],"Scripts":[{{"path":"SCRIPT@/src","url":"/js/{host}.js","type":"text/javascript"}}]}}"#
        )
    }

    fn links(&mut self, host: &str) -> String {
        let mut links = String::new();
        for _ in 0..60 + self.random.below(400) {
            match self.random.below(100) {
                0..8 => self.image(&mut links, host),
                8..13 => {
                    let icon = self.word().to_owned();
                    let _ = write!(links, r#"{{"path":"IMG@/src","url":"/img/{icon}.png"}},"#);
                }
                _ => self.anchor(&mut links, host),
            }
        }
        links.pop();
        links
    }

    fn image(&mut self, links: &mut String, host: &str) {
        let (name, number) = (self.words(4, "-"), self.random.below(100_000));
        let alt = match self.random.below(10) {
            0 => String::new(),
            1 => format!(r#"{} \"{}\""#, self.words(6, " "), self.word().to_owned()),
            2 => format!(r"{} – café\n{}", self.words(5, " "), self.word().to_owned()),
            3 => format!("東京の{}の写真", self.word().to_owned()),
            _ => self.words(9, " "),
        };
        let address = match self.random.below(6) {
            0 => format!("/media/{number}/{name}.jpg"),
            1 => format!("../img/{name}_{number}.png"),
            2 => format!("//cdn.{host}/{number}/{name}.webp"),
            3 => format!("https://{host}/thumb.php?src={name}&w=640&id={number}"),
            _ => format!("https://cdn.{host}/uploads/2024/05/{name}-{number}x600.jpg"),
        };
        let _ = write!(
            links,
            r#"{{"path":"IMG@/src","url":"{address}","alt":"{alt}"}},"#
        );
    }

    fn ending(&mut self) -> &'static str {
        const ENDINGS: [&str; 8] = ["mp3", "ogg", "mp4", "webm", "pdf", "docx", "MP3", "zip"];
        ENDINGS[self.random.below(ENDINGS.len())]
    }

    /// A link whose address is made of its text, as most are.
    fn anchor(&mut self, links: &mut String, host: &str) {
        let text = self.words(5, " ");
        let name = text.replace(' ', "-");
        let address = match self.random.below(8) {
            0 if self.random.one_in(20) => format!("/files/{name}.{}", self.ending()),
            0 => format!("/{name}"),
            1 => format!("https://{}/{name}.html", self.host()),
            2 => format!("https://{host}/shop/{}-{name}/", self.random.below(10_000)),
            3..5 => format!("https://{host}/category/{name}/"),
            _ => format!("https://{host}/2024/05/{name}/"),
        };
        let _ = write!(
            links,
            r#"{{"path":"A@/href","url":"{address}","text":"{text}"}},"#
        );
    }
}

fn made_up_word(random: &mut Random) -> String {
    const STARTS: [&str; 16] = [
        "b", "br", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t",
    ];
    const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "y"];
    const ENDS: [&str; 8] = ["", "", "n", "r", "s", "t", "ng", "l"];
    let mut word = String::new();
    for _ in 0..1 + random.below(3) {
        word.push_str(STARTS[random.below(STARTS.len())]);
        word.push_str(VOWELS[random.below(VOWELS.len())]);
        word.push_str(ENDS[random.below(ENDS.len())]);
    }
    word
}
