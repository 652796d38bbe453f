"""Writes the golden files of cah-wat's tests.

    golden.py DIRECTORY

pages.wat.gz   a small WAT file of awkward pages: bases, odd URLs, scripts, escapes, both key orders
pages.jsonl    its rows for every document type: [type, uid, url, alt, cc_filename, page_url]
joins.jsonl    [base, link, urllib.parse.urljoin(base, link) or null where that raises ValueError]

The rows are those of peer.py, our own driver over cc2dataset's libraries, and not of cc2dataset itself (which needs
Spark); the joins are Python's own. Everything comes from a fixed seed; Python 3.11 to 3.13 give the same files.
"""

import gzip
import json
import random
import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin

import peer

FILE = "CC-MAIN-20240517233122-20240518023122-00000.warc.gz"
PAGES = [
    "https://example.com/",
    "http://example.com",
    "https://example.com/a/b/page.html?x=1#top",
    "https://example.com:8443/a//b/../c/;v=1?q",
    "http://bücher.example/straße/",
    "https://user:secret@example.com/a",
]
BASES = [None, "", "/", "static/", "//cdn.example.com/x/", "https://cdn.example.com/y", "HTTP://H.example/",
         "ftp://f.example/", "../up/", "?only=query", "//[bad", "javascript:void(0)", " /spaced/ "]
LINKS = [
    "a.jpg", "./a.jpg", "../a.jpg", "../../../../a.jpg", "/a.jpg", "//cdn.example.com/a.jpg", "?a=b", "#frag", "",
    "https://cdn.example.com/a.jpg", "HTTPS://cdn.example.com/A.JPG", "http://example.org", "data:image/png;base64,AAAA",
    "javascript:alert(1)", "mailto:a@b.example", "a b.jpg", " a.jpg ", "\ta.jpg", "a\n.jpg", "a.jpg?", "a.jpg#", "a;b.jpg",
    "a;b/c;d.jpg", "http:a.jpg", "https:/a.jpg", "http:///a.jpg", "//", "///a.jpg", "////a.jpg", "a//b///c.jpg", "..", ".",
    "a/..", "a/.", "a/../..", "http://[::1]/a.jpg", "//[::1]/a.jpg", "//[::1/a.jpg", "//]/a.jpg", "//[v1.x]/a.jpg",
    "//[fe80::1%25eth0]/a.jpg", "//[127.0.0.1]/a.jpg", "//exa\u2100mple/a.jpg", "//ex\uff0fa/a.jpg", "//bücher.example/ä.jpg",
    "\\images\\a.jpg", "a%20b.jpg", "ä.jpg", "東京.jpg", "a.jpg?x=1;y=2#z?", "a?b?c#d#e", "a:b.jpg", "1:a.jpg", "c+d-e.f:a.jpg",
    ";params", "/;params", "?", "/..//a.jpg", "/./a/.//b.jpg", "a\u00a0b.jpg", "\u3000a.jpg", "http://", "https://?x",
]
ENDINGS = ["song.mp3", "Song.MP3", "a.ogg", "clip.mp4", "clip.webm?x", "paper.pdf", "paper.PDF", "notes.md", "x.tar.gz", "md",
           ".md", "book.epub", "a.b.docx", "talk.m4v", "v.mpeg", "sound.flac"]
ALTS = ["A red bicycle", "", " ", "x", "Tom &amp; Jerry", "schÃ¶n", "quoted \"text\" \\ back", "tab\tline\nend", "</script>",
        "東京タワー", "emoji 😀", "nul \u0000 and \u0085", "IMG@/src"]


def links(rng):
    found = []
    for _ in range(rng.randint(0, 14)):
        kind = rng.random()
        if kind < 0.55:
            link = {"path": "IMG@/src", "url": rng.choice(LINKS), "alt": rng.choice(ALTS)}
            if rng.random() < 0.15:
                del link["alt"]
        elif kind < 0.9:
            link = {"path": "A@/href", "url": rng.choice(["", "/d/", "https://e.example/"]) + rng.choice(ENDINGS),
                    "text": rng.choice(ALTS)}
            if rng.random() < 0.2:
                del link["text"]
        else:
            link = rng.choice([{"path": "FORM@/action", "url": "/search"}, {"path": "IMG@/srcset", "url": "x 2x", "alt": "set"},
                               {"path": "A@/href"}, {"url": "nowhere"}, {}])
        items = list(link.items())
        rng.shuffle(items)
        found.append(dict(items))
    return found


def record(rng, kind):
    html = {"Head": {"Title": "t", "Metas": [{"name": "x", "content": "{\"a\":[1]}"}]}, "Links": links(rng)}
    base = rng.choice(BASES)
    if base is not None:
        html["Head"]["Base"] = base
    if rng.random() < 0.1:
        del html["Head"]
    if rng.random() < 0.1:
        del html["Links"]
    response = {"Headers": {"Vary": ["a", "b"], "path": "IMG@/src"}, "Entity-Length": "5"}
    if rng.random() < 0.9:
        response["HTML-Metadata"] = html
    payload = {"Actual-Content-Type": f"application/http; msgtype={kind}"}
    if kind == "response":
        payload["HTTP-Response-Metadata"] = response
    header = {"WARC-Type": kind, "WARC-Target-URI": rng.choice(PAGES)}
    envelope = {"Payload-Metadata": payload, "Format": "WARC/1.0", "WARC-Header-Metadata": header}
    members = [("Container", {"Filename": FILE, "Compressed": True, "Offset": "80610308"}), ("Envelope", envelope)]
    if rng.random() < 0.5:
        members.reverse()
    style = rng.choice([dict(separators=(",", ":"), ensure_ascii=False)] * 4 + [dict(), dict(separators=(",", ":"))])
    return json.dumps(dict(members), **style)


def wat(rng):
    out = BytesIO()
    bodies = [("warcinfo", "Software-Info: golden\r\n")]
    for _ in range(60):
        bodies += [("metadata", record(rng, kind)) for kind in ("request", "response", "metadata")]
    for kind, body in bodies:
        body = body.encode()
        header = f"WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        out.write(gzip.compress(header.encode() + body + b"\r\n\r\n", 9, mtime=0))
    return out.getvalue()


def join(base, link):
    try:
        return urljoin(base, link)
    except ValueError:
        return None


def joins(rng):
    bases = PAGES + ["http://h.example/a;p?q#f", "http:a", "https:///x//y", "http://h.example//a//b", " http://s.example/x "]
    pairs = [(base, link) for base in bases for link in LINKS]
    pieces = ["a", "..", ".", "/", "//", ";", "?", "#", ":", "http:", "https://h.example", "[", "]", "ä", " ", "%2e", "b.jpg"]
    for _ in range(300):
        pairs.append((rng.choice(bases), "".join(rng.choice(pieces) for _ in range(rng.randint(1, 6)))))
    return [[base, link, join(base, link)] for base, link in pairs]


def write_lines(path, rows):
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def main(directory):
    directory, rng = Path(directory), random.Random(20241123)
    data = wat(rng)
    (directory / "pages.wat.gz").write_bytes(data)
    write_lines(directory / "pages.jsonl", ((kind, *row) for kind in peer.KINDS for row in peer.rows(BytesIO(data), kind)))
    write_lines(directory / "joins.jsonl", joins(rng))


if __name__ == "__main__":
    main(*sys.argv[1:])
