"""The detector of this package as an MLflow pyfunc: photos in, boxes out.

predict() takes one photo or a list, a pandas Series or a DataFrame's first
column of photos. A photo is a path, encoded bytes, a base64 string, a PIL image
or an array (height, width, 3) of RGB bytes. The answer for a photo is a list of
{"box": [x1, y1, x2, y2], "class_id", "class", "confidence"}, best first, in
pixels of the photo as it is displayed (EXIF orientation applied).

params: conf (0.25), iou (0.7), max_det (300).
"""

import ast
import base64
import binascii
import io
import os

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

GREY = 114  # of the letterbox's border
CLASS_OFFSET = np.float32(7680)  # moves the boxes of each class out of the others' reach
MAX_CANDIDATES = 30000


def _load_pyfunc(path):
    if os.path.isdir(path):
        path = os.path.join(path, "model.onnx")
    return Detector(path)


class Detector:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.names = ast.literal_eval(metadata["names"])
        self.stride = int(metadata.get("stride", "32"))
        self.size = int(max(np.ravel(ast.literal_eval(metadata["imgsz"]))))
        self.input = self.session.get_inputs()[0].name
        shape = self.session.get_inputs()[0].shape[2:]
        self.fixed = tuple(shape) if all(isinstance(n, int) for n in shape) else None  # height, width

    def predict(self, photos, params=None):
        options = {"conf": 0.25, "iou": 0.7, "max_det": 300, **(params or {})}
        if hasattr(photos, "iloc"):  # pandas
            photos = list(photos.iloc[:, 0] if photos.ndim == 2 else photos)
        if isinstance(photos, dict):  # a JSON request with named inputs
            photos = next(iter(photos.values()))
        if isinstance(photos, np.ndarray) and (photos.dtype.kind in "OSU" or photos.ndim == 4):
            photos = list(photos.ravel() if photos.ndim < 4 else photos)
        if isinstance(photos, (list, tuple)):
            return [self.detect(p, **options) for p in photos]
        return self.detect(photos, **options)

    def detect(self, photo, conf, iou, max_det):
        image = _decode(photo)
        tensor, geometry = letterbox(image, self.size, self.stride, self.fixed)
        output = self.session.run(None, {self.input: tensor})[0][0]
        height, width = image.shape[:2]
        found = []
        for x1, y1, x2, y2, score, cls in suppress(output, conf, iou, max_det):
            box = unmap((x1, y1, x2, y2), geometry, width, height)
            found.append({"box": box, "class_id": int(cls), "class": self.names[int(cls)], "confidence": float(score)})
        return found


def _decode(photo):
    """Returns the displayed photo as an array of RGB bytes."""
    if isinstance(photo, np.ndarray) and photo.ndim == 3:
        return np.ascontiguousarray(photo[:, :, :3], dtype=np.uint8)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        photo = Image.open(io.BytesIO(bytes(photo)))
    elif isinstance(photo, (str, os.PathLike)):
        if isinstance(photo, os.PathLike) or os.path.exists(photo):
            photo = Image.open(photo)
        else:
            photo = Image.open(io.BytesIO(_unbase64(photo)))
    if not isinstance(photo, Image.Image):
        raise TypeError(f"a photo is a path, bytes, base64, a PIL image or an array (height, width, 3), not {type(photo)}")
    return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))


def _unbase64(text):
    try:
        return base64.b64decode(text.rpartition("base64,")[2], validate=True)
    except binascii.Error as e:
        raise FileNotFoundError(f"{text[:80]!r} is neither a file nor base64") from e


def letterbox(image, size, stride, fixed=None):
    """Fits a photo into the smallest rectangle whose longer side is size and
    whose sides are multiples of stride, or into fixed (height, width). Returns
    the tensor (1, 3, h, w) and (gain_x, gain_y, left, top)."""
    height, width = image.shape[:2]
    limit_h, limit_w = fixed or (size, size)
    ratio = min(limit_h / height, limit_w / width)
    w, h = max(round(width * ratio), 1), max(round(height * ratio), 1)
    pad_w, pad_h = limit_w - w, limit_h - h
    if not fixed:
        pad_w, pad_h = pad_w % stride, pad_h % stride
    left, top = round(pad_w / 2 - 0.1), round(pad_h / 2 - 0.1)
    tensor = np.full((3, h + pad_h, w + pad_w), np.float32(GREY) / np.float32(255), np.float32)
    tensor[:, top : top + h, left : left + w] = resize(image, w, h).transpose(2, 0, 1) / np.float32(255)
    return tensor[None], (w / width, h / height, left, top)


def resize(image, w, h):
    """Bilinear in fixed point, bit for bit what OpenCV's INTER_LINEAR does."""
    height, width = image.shape[:2]
    if (w, h) == (width, height):
        return image
    if (2 * w, 2 * h) == (width, height):  # OpenCV averages areas at exactly a half
        a = image.astype(np.uint16)
        return ((a[::2, ::2] + a[::2, 1::2] + a[1::2, ::2] + a[1::2, 1::2] + 2) >> 2).astype(np.uint8)
    x0, x1, cx0, cx1 = _taps(width, w, True)
    y0, y1, cy0, cy1 = _taps(height, h, False)

    def across(rows, down):
        left, right = image[np.ix_(rows, x0)].astype(np.int32), image[np.ix_(rows, x1)].astype(np.int32)
        return (((left * cx0[:, None] + right * cx1[:, None]) >> 4) * down[:, None, None]) >> 16

    return ((across(y0, cy0) + across(y1, cy1) + 2) >> 2).astype(np.uint8)


def _taps(src, dst, horizontal):
    """The two source positions and 11-bit weights of every target position."""
    scale = 1 / (dst / src)
    f = ((np.arange(dst) + 0.5) * scale - 0.5).astype(np.float32)
    i = np.floor(f).astype(np.int64)
    f = f - i.astype(np.float32)
    if horizontal:  # OpenCV drops the fraction at the border across, and only clips down
        f = np.where((i < 0) | (i >= src - 1), np.float32(0), f)
        i = np.clip(i, 0, src - 1)
    first, second = np.clip(i, 0, src - 1), np.clip(i + 1, 0, src - 1)
    return first, second, np.rint((1 - f) * 2048).astype(np.int32), np.rint(f * 2048).astype(np.int32)


def suppress(output, conf, iou, max_det):
    """Non-maximum suppression of (4 + classes, anchors) class by class. Returns
    rows of x1, y1, x2, y2, score, class in input pixels, best first."""
    scores = output[4:]
    cls = scores.argmax(0)
    best = scores.max(0)
    keep = np.flatnonzero(best > np.float32(conf))
    keep = keep[np.argsort(-best[keep], kind="stable")][:MAX_CANDIDATES]
    centre_x, centre_y, w, h = output[:4, keep]
    w, h = w / 2, h / 2
    boxes = np.stack([centre_x - w, centre_y - h, centre_x + w, centre_y + h], 1)
    moved = boxes + cls[keep].astype(np.float32)[:, None] * CLASS_OFFSET
    area = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
    left, rows = np.arange(len(keep)), []
    while len(left) and len(rows) < max_det:
        k, left = left[0], left[1:]
        rows.append((*boxes[k], best[keep[k]], cls[keep[k]]))
        common = np.clip(np.minimum(moved[k, 2:], moved[left, 2:]) - np.maximum(moved[k, :2], moved[left, :2]), 0, None).prod(1)
        left = left[~(common / (area[k] + area[left] - common) > np.float32(iou))]
    return rows


def unmap(box, geometry, width, height):
    """Takes a box from input pixels back to the photo's, clipped to it."""
    gain_x, gain_y, left, top = geometry
    gain, pad, limit = (gain_x, gain_y) * 2, (left, top) * 2, (width, height) * 2
    out = [(v - np.float32(p)) / np.float32(g) for v, p, g in zip(box, pad, gain)]
    return [float(min(max(v, 0.0), float(m))) for v, m in zip(out, limit)]
