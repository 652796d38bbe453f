"""A crawl of a handful of pages: images on this machine, and WAT files about them."""

import gzip
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

# With these flags every image becomes a pair: what the model thinks of noise is no matter.
FLAGS = [
    "--model=tiny-clip",
    "--similarity-threshold=-1",
    "--keep-unsafe",
    "--allow-private-addresses",
    "--host-delay=0",
    "--timeout=60",
]

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


class Images(ThreadingHTTPServer):
    """Answers every address with an image; below `/late/` only once `gate` is open."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.gate = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/late/"):
            self.server.gate.wait(60)
        extension = self.path.rsplit(".", 1)[1]
        body = image(FORMATS[extension])
        self.send_response(200)
        self.send_header("Content-Type", f"image/{FORMATS[extension].lower()}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def image(format):
    """Noise, which no format makes small."""
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def wat(images, folder, pages=12):
    """A WAT file as Common Crawl writes it, one gzip member a record: pages with an image of each
    format, whose addresses begin with `folder`."""
    links = lambda page: [
        {
            "path": "IMG@/src",
            "url": f"{images.url}/{folder}/{page}.{extension}",
            "alt": f"picture {page} as {extension}",
        }
        for extension in FORMATS
    ]
    return b"".join(record(f"{images.url}/{page}.html", links(page)) for page in range(pages))


def record(page, links):
    """The metadata record of a page with these links."""
    metadata = {
        "Container": {"Filename": "CC-MAIN-mini.warc.gz"},
        "Envelope": {
            "WARC-Header-Metadata": {"WARC-Type": "response", "WARC-Target-URI": page},
            "Payload-Metadata": {
                "HTTP-Response-Metadata": {"HTML-Metadata": {"Head": {}, "Links": links}}
            },
        },
    }
    block = json.dumps(metadata).encode()
    head = (
        "WARC/1.0\r\n"
        "WARC-Type: metadata\r\n"
        f"WARC-Target-URI: {page}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", 1)
