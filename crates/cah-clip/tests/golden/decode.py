"""Images of every kind that is decoded, and what Pillow makes of them."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from common import HERE, scene

OUT = HERE / "decode"
WIDTH, HEIGHT = 45, 34


def rgb(seed=1, width=WIDTH, height=HEIGHT):
    return Image.fromarray(scene(width, height, seed))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def orientation(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def xmp(number):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{number}"/></x:xmpmeta>'.encode()


def adobe_transform(jpeg, value):
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([value]) + jpeg[at + 1 :]


def with_adobe(jpeg, transform):
    """Adobe's marker behind whatever other markers there are."""
    at = jpeg.index(b"\xff\xdb")
    return jpeg[:at] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + jpeg[at:]


def without_jfif(jpeg):
    assert jpeg[2:4] == b"\xff\xe0"
    return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]


def without_rgb_names(jpeg):
    """Component identifiers 1, 2, 3 in the frame and scan headers instead of R, G, B."""
    data = bytearray(jpeg)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for index in range(3):
        data[frame + 10 + 3 * index] = index + 1
        data[scan + 5 + 2 * index] = index + 1
    return bytes(data)


def jpegs():
    yield "rgb444.jpg", saved(rgb(), "JPEG", quality=90, subsampling=0)
    yield "rgb422.jpg", saved(rgb(2), "JPEG", quality=85, subsampling=1)
    yield "rgb420.jpg", saved(rgb(3), "JPEG", quality=80, subsampling=2)
    yield "progressive.jpg", saved(rgb(4), "JPEG", quality=80, progressive=True)
    yield "restarts.jpg", saved(rgb(5), "JPEG", quality=80, restart_marker_rows=1)
    yield "grey.jpg", saved(rgb(6).convert("L"), "JPEG", quality=85)
    yield "tiny.jpg", saved(rgb(7, 3, 2), "JPEG", quality=90)
    yield "line.jpg", saved(rgb(7, 90, 1), "JPEG", quality=90, subsampling=0)
    cmyk = Image.merge("CMYK", [*rgb(8).split(), rgb(9).split()[0].point(lambda v: v // 3)])
    cmyk = saved(cmyk, "JPEG", quality=92, subsampling=0)
    yield "cmyk.jpg", cmyk
    yield "ycck.jpg", adobe_transform(cmyk, 2)
    named = saved(rgb(10), "JPEG", quality=92, keep_rgb=True)
    yield "rgb-named.jpg", named
    yield "rgb-adobe.jpg", without_rgb_names(named)
    plain = saved(rgb(10), "JPEG", quality=92)
    yield "jfif-adobe0.jpg", with_adobe(plain, 0)
    yield "jfif-adobe2.jpg", with_adobe(plain, 2)
    yield "adobe1.jpg", with_adobe(without_jfif(plain), 1)
    yield "adobe2.jpg", with_adobe(without_jfif(plain), 2)
    yield "bare.jpg", without_jfif(plain)
    yield "cmyk-adobe1.jpg", adobe_transform(cmyk, 1)
    for number in range(1, 9):
        yield f"orientation{number}.jpg", saved(
            rgb(11), "JPEG", quality=90, subsampling=0, exif=orientation(number)
        )
    options = {"quality": 90, "subsampling": 0}
    yield "xmp.jpg", saved(rgb(11), "JPEG", xmp=xmp(6), **options)
    yield "exif-xmp.jpg", saved(rgb(11), "JPEG", exif=orientation(3), xmp=xmp(6), **options)


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(rows, width, height, depth, color, extra=b"", interlace=0):
    """A PNG that Pillow can read and not write. `rows` are packed scan lines, without filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def deep(channels, seed):
    """16-bit samples, big endian, of which the low bytes matter for grey alone."""
    wide = scene(WIDTH, HEIGHT, seed).astype(np.uint16)
    wide = np.concatenate([wide, wide[:, :, ::-1]], axis=-1)[:, :, :channels]
    return (wide * 257 + scene(WIDTH, HEIGHT, seed + 1)[:, :, :1] % 200).astype(">u2")


def adam7(image):
    """The scan lines of an interlaced image."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for left, top, step_x, step_y in passes:
        part = image[top::step_y, left::step_x]
        yield from (row.tobytes() for row in part if row.size)


def inserted(png, chunk):
    """A chunk behind the header."""
    return png[:33] + chunk + png[33:]


def raw_profile(number):
    """EXIF as ImageMagick wrote it."""
    exif = orientation(number).tobytes()
    digits = exif.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return "\n".join(["", "exif", f"{len(exif):8}", *lines, ""]).encode()


def turned_pngs():
    png = saved(rgb(36), "PNG")
    keyword = b"Raw profile type exif\0"
    yield "profile.png", inserted(png, png_chunk(b"tEXt", keyword + raw_profile(6)))
    yield "packed-profile.png", inserted(png, png_chunk(b"zTXt", keyword + b"\0" + zlib.compress(raw_profile(7))))
    keyword = b"XML:com.adobe.xmp\0"
    yield "xmp.png", inserted(png, png_chunk(b"iTXt", keyword + b"\0\0\0\0" + xmp(8)))
    yield "packed-xmp.png", inserted(png, png_chunk(b"iTXt", keyword + b"\1\0\0\0" + zlib.compress(xmp(5))))
    yield "late-xmp.png", png[:-12] + png_chunk(b"iTXt", keyword + b"\0\0\0\0" + xmp(3)) + png[-12:]
    # A byte where two are asked for, which is no orientation for Pillow.
    one_byte = orientation(6).tobytes()[6:].replace(b"\3\0\0\0\1\0\6", b"\1\0\0\0\1\6\0")
    yield "exif-byte.png", inserted(png, png_chunk(b"eXIf", one_byte))


def pngs():
    grey = rgb(12).convert("L")
    yield "rgb.png", saved(rgb(12), "PNG")
    yield "grey.png", saved(grey, "PNG")
    yield "bits1.png", saved(grey.convert("1"), "PNG")
    quantised = rgb(13).quantize(16, dither=0)
    yield "palette16.png", saved(quantised, "PNG", bits=4)
    yield "palette256.png", saved(rgb(13).quantize(200), "PNG")
    yield "palette-transparent.png", saved(quantised, "PNG", transparency=bytes(range(0, 256, 16)))
    yield "rgb-transparent.png", saved(rgb(14), "PNG", transparency=tuple(scene(WIDTH, HEIGHT, 14)[0, 0].tolist()))
    yield "grey-transparent.png", saved(grey, "PNG", transparency=100)
    yield "rgba.png", saved(Image.merge("RGBA", [*rgb(15).split(), grey]), "PNG")
    yield "grey-alpha.png", saved(Image.merge("LA", [grey, rgb(15).split()[0]]), "PNG")
    for depth in (2, 4):
        levels = np.asarray(grey) >> (8 - depth)
        bits = np.unpackbits(levels[:, :, None].astype(np.uint8), axis=-1)[:, :, 8 - depth :]
        rows = [np.packbits(row.ravel()).tobytes() for row in bits]
        yield f"grey{depth}.png", raw_png(rows, WIDTH, HEIGHT, depth, 0)
    dim = scene(WIDTH, HEIGHT, 16)[:, :, 0].astype(np.uint16) * 2
    yield "grey16.png", raw_png([row.astype(">u2").tobytes() for row in dim], WIDTH, HEIGHT, 16, 0)
    for channels, color, name in [(3, 2, "rgb16"), (4, 6, "rgba16"), (2, 4, "grey-alpha16")]:
        rows = [row.tobytes() for row in deep(channels, 17)]
        yield f"{name}.png", raw_png(rows, WIDTH, HEIGHT, 16, color)
    yield "interlaced.png", raw_png(list(adam7(scene(WIDTH, HEIGHT, 18))), WIDTH, HEIGHT, 8, 2, interlace=1)
    yield "exif.png", saved(rgb(19), "PNG", exif=orientation(6))
    frames = [rgb(20), rgb(21)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 5000, zip=True)
    yield from turned_pngs()
    yield "text.png", saved(rgb(22, 9, 9), "PNG", pnginfo=text)


def gif_frame(indices, left, top, palette=b"", control=b""):
    """A frame with uncompressed codes: a clear code before every 2**7 - 2 pixels keeps the width at 9 bits."""
    height, width = indices.shape
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    bits, value, count = bytearray(), 0, 0

    def put(code):
        nonlocal value, count
        value |= code << count
        count += 9
        while count >= 8:
            bits.append(value & 255)
            value >>= 8
            count -= 8

    for at, index in enumerate(indices.ravel().tolist()):
        if at % 126 == 0:
            put(256)
        put(index)
    put(257)
    bits.append(value & 255)
    blocks = b"".join(bytes([len(bits[i : i + 255])]) + bytes(bits[i : i + 255]) for i in range(0, len(bits), 255))
    place = struct.pack("<HHHHB", left, top, width, height, flags)
    return control + b"," + place + palette + b"\x08" + blocks + b"\0"


def gifs():
    palette = rgb(23).quantize(128)
    yield "plain.gif", saved(palette, "GIF")
    yield "interlaced.gif", saved(palette, "GIF", interlace=1)
    yield "transparent.gif", saved(palette, "GIF", transparency=5)
    yield "animated.gif", saved(rgb(24).quantize(64), "GIF", save_all=True, append_images=[rgb(25).quantize(64)])
    yield "grey.gif", saved(rgb(26).convert("L"), "GIF")
    small = scene(20, 15, 27)[:, :, 0] % 16
    colors = bytes(scene(16, 1, 28).ravel().tolist())
    control = b"!\xf9\x04\x01\0\0\x07\0"
    for name, left, top, extra in [
        ("offset.gif", 7, 5, b""),
        ("offset-transparent.gif", 7, 5, control),
        ("juts-out.gif", 30, 25, b""),
    ]:
        screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0x80 | 3, 3, 0)
        yield name, b"GIF89a" + screen + colors + gif_frame(small, left, top, control=extra) + b";"
    screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0, 0, 0)
    yield "no-palette.gif", b"GIF89a" + screen + gif_frame(small * 9, 0, 0) + b";"
    yield "no-palette-transparent.gif", b"GIF89a" + screen + gif_frame(small * 9, 7, 5, control=control) + b";"
    counting = bytes(level for level in range(4) for _ in range(3))
    screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0x80 | 1, 0, 0)
    yield "counting-palette.gif", b"GIF89a" + screen + counting + gif_frame(small * 9, 7, 5) + b";"
    local = bytes(scene(16, 1, 29).ravel().tolist())
    screen = struct.pack("<HHBBB", 20, 15, 0, 0, 0)
    yield "local-palette.gif", b"GIF89a" + screen + gif_frame(small, 0, 0, palette=local) + b";"
    yield "short-palette.gif", b"GIF89a" + struct.pack("<HHBBB", 20, 15, 0x80, 0, 0) + colors[:6] + gif_frame(small, 0, 0) + b";"


def riff(chunks):
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(number):
    return struct.pack("<I", number)[:3]


def animation(still, left, top, width, height, canvas):
    """An animation of which one frame lies somewhere on its canvas."""
    start = 12
    if still[12:16] == b"VP8X":
        start += 18
    frame = u24(left // 2) + u24(top // 2) + u24(width - 1) + u24(height - 1) + u24(100) + b"\x02" + still[start:]
    header = bytes([0x12, 0, 0, 0]) + u24(canvas[0] - 1) + u24(canvas[1] - 1)
    return riff([(b"VP8X", header), (b"ANIM", struct.pack("<IH", 0xFF00FF00, 0)), (b"ANMF", frame)])


def webps():
    alpha = Image.merge("RGBA", [*rgb(30).split(), rgb(31).split()[0]])
    yield "lossy.webp", saved(rgb(30), "WEBP", quality=80)
    yield "lossless.webp", saved(rgb(30), "WEBP", lossless=True)
    yield "lossy-alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)
    yield "exif.webp", saved(rgb(32), "WEBP", quality=80, exif=orientation(8))
    yield "xmp.webp", saved(rgb(32), "WEBP", quality=80, xmp=xmp(5))
    yield "animated.webp", saved(alpha, "WEBP", save_all=True, append_images=[rgb(33).convert("RGBA")], quality=80)
    small = rgb(34, 20, 15)
    yield "animated-offset.webp", animation(saved(small, "WEBP", quality=80), 6, 8, 20, 15, (WIDTH, HEIGHT))
    clear = Image.merge("RGBA", [*small.split(), rgb(35, 20, 15).split()[0]])
    yield "animated-offset-alpha.webp", animation(
        saved(clear, "WEBP", quality=80), 6, 8, 20, 15, (WIDTH, HEIGHT)
    )


def make():
    OUT.mkdir(exist_ok=True)
    index, pixels, offset = [], [], 0
    for name, data in [*jpegs(), *pngs(), *gifs(), *webps()]:
        (OUT / name).write_bytes(data)
        opened = Image.open(io.BytesIO(data))
        original = opened.size
        truth = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        # The size of a GIF may grow when it is loaded.
        original = opened.size if name.endswith("gif") else original
        height, width, _ = truth.shape
        index.append(
            {
                "file": name,
                "mime": Image.MIME[opened.format],
                "width": width,
                "height": height,
                "original": list(original),
                "offset": offset,
            }
        )
        pixels.append(truth.ravel())
        offset += truth.size
    (OUT / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    np.save(OUT / "pixels.npy", np.concatenate(pixels))
