"""Writes the photos of this folder and expected.json: what OpenCV decodes, and
how Ultralytics' LetterBox lays it out. Needs numpy, pillow and
opencv-python-headless 5.0; run it in this folder."""
import hashlib
import io
import json
import struct

import cv2
import numpy as np
from PIL import Image

rng = np.random.default_rng(7)


def scene(w, h):
    """Smooth colours with a few hard edges: both are hard for a decoder to get right by luck."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    p = np.stack([127 + 120 * np.sin(x / 17 + y / 31), 127 + 120 * np.cos(x / 23 - y / 13), 255 * (x + y) / (w + h)], -1)
    for _ in range(6):
        x0, y0 = rng.integers(0, w - 20), rng.integers(0, h - 20)
        p[y0:y0 + 18, x0:x0 + 18] = rng.integers(0, 256, 3)
    return np.clip(p + rng.normal(0, 6, p.shape), 0, 255).astype(np.uint8)


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e


def save(name, image, **options):
    image.save(name, **options)
    return name


def webp_exif(path, orientation):
    """Pillow writes JPEG's prefix before the block, which the format does not allow."""
    b = open(path, "rb").read()
    i = b.index(b"EXIF")
    n = struct.unpack("<I", b[i + 4:i + 8])[0]
    body = b[i + 8:i + 8 + n].removeprefix(b"Exif\0\0")
    b = b[:i] + b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    open(path, "wb").write(b[:4] + struct.pack("<I", len(b) - 8) + b[8:])


photo = Image.fromarray(scene(150, 100))
names = [
    save("420.jpg", photo, quality=88, subsampling=2),
    save("422.jpg", photo, quality=88, subsampling=1),
    save("444.jpg", photo, quality=88, subsampling=0),
    save("progressive.jpg", photo, quality=80, progressive=True),
    save("restarts.jpg", photo, quality=80, restart_marker_blocks=2),
    save("gray.jpg", photo.convert("L"), quality=88),
    save("cmyk.jpg", photo.convert("CMYK"), quality=88),
    save("odd.jpg", photo.crop((0, 0, 97, 61)), quality=88),
    save("one.jpg", photo.crop((0, 0, 1, 1)), quality=88),
    save("wide.jpg", photo.resize((900, 45)), quality=60),
    save("half.jpg", photo.resize((1280, 96)), quality=40),
    save("rgb.png", photo.resize((40, 30))),
    save("rgba.png", Image.merge("RGBA", (*photo.resize((40, 30)).split(), Image.linear_gradient("L").resize((40, 30))))),
    save("palette.png", photo.resize((40, 30)).quantize(16)),
    save("gray.png", photo.resize((40, 30)).convert("L")),
    save("oriented.png", photo.resize((40, 30)), exif=exif(6)),
    save("lossy.webp", photo, quality=80),
    save("odd.webp", photo.crop((0, 0, 97, 61)), quality=80),
    save("lossless.webp", photo.resize((40, 30)), lossless=True),
    save("alpha.webp", Image.merge("RGBA", (*photo.resize((60, 44)).split(), Image.linear_gradient("L").resize((60, 44)))), quality=80),
    save("oriented.webp", photo.resize((60, 44)), quality=80, exif=exif(8)),
]
webp_exif("oriented.webp", 8)
cv2.imwrite("16bit.png", (scene(40, 30).astype(np.uint16) * 257 + rng.integers(0, 200, (30, 40, 3)).astype(np.uint16)))
cv2.imwrite("gray16.png", (scene(40, 30)[..., 0].astype(np.uint16) * 251))
names += ["16bit.png", "gray16.png"]
small = photo.crop((0, 0, 60, 40))
for o in range(0, 9):
    names.append(save(f"orientation{o}.jpg", small, quality=85, exif=exif(o)))


def letterbox(im, size, stride):
    h, w = im.shape[:2]
    r = min(size / h, size / w)
    nw, nh = max(round(w * r), 1), max(round(h * r), 1)
    dw, dh = size - nw, size - nh
    if stride:
        dw, dh = dw % stride, dh % stride
    if (w, h) != (nw, nh):
        im = cv2.resize(im, (nw, nh), interpolation=cv2.INTER_LINEAR)
    t, b = round(dh / 2 - .1), round(dh / 2 + .1)
    l, r = round(dw / 2 - .1), round(dw / 2 + .1)
    return cv2.copyMakeBorder(im, t, b, l, r, cv2.BORDER_CONSTANT, value=(114, 114, 114))


def digest(bgr):
    return hashlib.sha256(np.ascontiguousarray(bgr[..., ::-1]).tobytes()).hexdigest()


expected = {}
for name in names:
    im = cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_COLOR)
    rect, square = letterbox(im, 640, 32), letterbox(im, 640, 0)
    tiny = letterbox(im, 96, 32)
    expected[name] = {
        "width": im.shape[1], "height": im.shape[0], "pixels": digest(im),
        "rect": {"width": rect.shape[1], "height": rect.shape[0], "pixels": digest(rect)},
        "square": {"width": 640, "height": 640, "pixels": digest(square)},
        "tiny": {"width": tiny.shape[1], "height": tiny.shape[0], "pixels": digest(tiny)},
    }
json.dump(expected, open("expected.json", "w"), indent=1)
