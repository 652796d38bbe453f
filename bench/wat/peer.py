"""The rows that cc2dataset 1.5 takes from a WAT file, with the libraries that it uses.

A driver of our own over fastwarc and pysimdjson that goes the same way, record by record:
all metadata records, the whole JSON to Python objects, the links filtered by document type,
joined with urllib, kept if http(s), with the md5 of text and URL. Errors are left out: the
input is well-formed.

    peer.py WAT [DOCUMENT_TYPE] [ROWS]

prints the number of rows and the CPU seconds that the extraction took; with ROWS it writes them
there, each a JSON array of uid, url, alt, cc_filename and page_url.
"""

import hashlib
import json
import sys
import time
from io import BytesIO
from urllib.parse import urljoin

import simdjson
from fastwarc.warc import ArchiveIterator, WarcRecordType

HTTP = ("http://", "https://")
AUDIO = (".ogg", ".wav", ".mp3", ".flac", ".m4a")
VIDEO = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v")
TEXT = frozenset(
    "pdf epub djvu mobi doc docx rtf txt odt ppt pptx pages keynote wps md".split()
)


def is_image(link):
    return link.get("path") == "IMG@/src"


def is_text(link):
    before, dot, ending = link.get("url", "").rpartition(".")
    return bool(dot) and ending in TEXT


# document type -> which links, and the member that has their text
KINDS = {
    "image": (lambda link: is_image(link) and len(link.get("alt", "")) > 0, "alt"),
    "image_only": (is_image, "alt"),
    "audio": (lambda link: link.get("url", "").endswith(AUDIO), "text"),
    "video": (lambda link: link.get("url", "").endswith(VIDEO), "text"),
    "text": (is_text, "text"),
}


def absolute(base, url):
    if url.startswith(HTTP):
        return url
    try:
        return urljoin(base, url)
    except ValueError:
        return url


def rows(wat, document_type):
    wanted, text = KINDS[document_type]
    for record in ArchiveIterator(wat, record_types=WarcRecordType.metadata, parse_http=False):
        data = simdjson.load(record.reader)
        envelope = data["Envelope"]
        html = envelope["Payload-Metadata"].get("HTTP-Response-Metadata", {}).get("HTML-Metadata", {})
        links = html.get("Links")
        if links is None:
            continue
        filename = data["Container"]["Filename"]
        page = base = envelope["WARC-Header-Metadata"]["WARC-Target-URI"]
        if "Base" in html.get("Head", {}):
            try:
                base = urljoin(base, html["Head"]["Base"])
            except ValueError:
                pass
        for link in links:
            if wanted(link):
                alt, url = link.get(text, ""), absolute(base, link["url"])
                if url.startswith(HTTP):
                    uid = hashlib.md5((alt + url).encode()).hexdigest()
                    yield uid, url, alt, filename, page


def main(path, document_type="image", output=None):
    start = time.process_time()
    with open(path, "rb") as file:
        found = list(rows(BytesIO(file.read()), document_type))
    seconds = time.process_time() - start
    if output:
        with open(output, "w", encoding="utf-8") as file:
            for row in found:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(found), seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
