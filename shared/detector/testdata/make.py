"""Writes the models and photos of this folder, and expected.json: what OpenCV,
numpy and ONNX Runtime make of them by Ultralytics' rules (LetterBox,
non_max_suppression, scale_boxes). Needs numpy, onnx, onnxruntime 1.32,
pillow and opencv-python-headless 5.0; run it in this folder.

The model learned nothing: it averages cells of 8 pixels and turns their colours
into scores of seven classes and sizes of boxes, which is enough for every pixel
to matter."""
import json

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from PIL import Image

NAMES = ["bottle", "can", "driver's cup", 'a "lid"', "straw\\pipe", "bağ", "other"]
NC = len(NAMES)
rng = np.random.default_rng(11)
WEIGHT = rng.normal(0, 6, (NC, 3)).astype(np.float32)
BIAS = (rng.normal(-1.5, 0.4, NC) - WEIGHT.sum(1) / 2).astype(np.float32)


def graph(kind):
    half, end2end = kind == "half", kind in ("end2end", "nms")
    nodes, init = [], []

    def const(name, value):
        init.append(nh.from_array(np.asarray(value), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(h.make_node(op, inputs, [output] if isinstance(output, str) else output, **attributes))
        return output if isinstance(output, str) else output[0]

    x = node("Cast", ["images"], "wide", to=T.FLOAT) if half else "images"
    cell = node("AveragePool", [x], "cell", kernel_shape=[8, 8], strides=[8, 8])
    score = node("Sigmoid", [node("Conv", [cell, const("w", WEIGHT.reshape(NC, 3, 1, 1)), const("b", BIAS)], "logit")], "score")
    if kind == "silent":  # a real broken export: the right shapes, and 0.0 everywhere
        score = node("Mul", [score, const("nothing", np.float32(0))], "silence")
    red = node("Slice", [cell, const("c0", [0]), const("c1", [1]), const("axis1", [1])], "red")
    green = node("Slice", [cell, "c1", const("c2", [2]), "axis1"], "green")
    ones = node("Add", [node("Mul", [red, const("zero", np.float32(0))], "zeros"), const("one", np.float32(1))], "ones")
    # centres move with the colours, so that boxes overlap unevenly
    def centre(axis, colour):
        n = node("CumSum", [ones, const(f"i{axis}", np.int64(axis))], f"n{axis}")
        n = node("Mul", [n, const(f"s{axis}", np.float32(8))], f"m{axis}")
        shift = node("Mul", [colour, const(f"k{axis}", np.float32(9))], f"d{axis}")
        return node("Sub", [node("Sub", [n, const(f"o{axis}", np.float32(4))], f"q{axis}"), shift], f"centre{axis}")
    cx, cy = centre(3, red), centre(2, green)
    w = node("Add", [node("Mul", [green, const("kw", np.float32(26))], "gw"), const("w0", np.float32(14))], "w_")
    hh = node("Add", [node("Mul", [red, const("kh", np.float32(20))], "gh"), const("h0", np.float32(12))], "h_")
    grid = node("Concat", [cx, cy, w, hh, score], "grid", axis=1)
    flat = node("Reshape", [grid, const("shape", np.array([1, 4 + NC, -1]))], "flat")
    dims = [1, 4 + NC, "anchors"]
    if end2end:  # [1, 20, 6]: best cells, corners, without suppression as YOLO26 has none
        rows = node("Transpose", [flat], "rows", perm=[0, 2, 1])
        node("Split", [rows, const("split", [2, 2, NC])], ["xy", "wh", "scores"], axis=2)
        best = node("ReduceMax", ["scores", const("axis2", [2])], "best", keepdims=0)
        node("TopK", [best, const("k", [20])], ["top", "index"], axis=1)
        label = node("Cast", [node("ArgMax", ["scores"], "arg", axis=2, keepdims=1)], "label", to=T.FLOAT)
        part = node("Div", ["wh", const("two", np.float32(2))], "part")
        table = node("Concat", [node("Sub", ["xy", part], "lo"), node("Add", ["xy", part], "hi"),
                                node("Unsqueeze", [best, "axis2"], "conf"), label], "table", axis=2)
        pick = node("Squeeze", ["index", const("axis0", [0])], "pick")
        flat, dims = node("Gather", [table, pick], "picked", axis=1), [1, 20, 6]
        if kind == "nms":  # as nms=True: what is below the confidence of the export is a row of zeros
            sure = node("Cast", [node("Greater", [node("Slice", [flat, const("c4", [4]), const("c5", [5]), "axis2"], "sureness"), const("bar", np.float32(.25))], "above")], "sure", to=T.FLOAT)
            flat = node("Mul", [flat, sure], "padded")
    out = node("Cast", [flat], "output0", to=T.FLOAT16) if half else node("Identity", [flat], "output0")
    kind_of = T.FLOAT16 if half else T.FLOAT
    shape = [1, 3, 96, 96] if kind in ("static", "silent") else ["batch", 3, "height", "width"]
    g = h.make_graph(nodes, "fixture", [h.make_tensor_value_info("images", kind_of, shape)],
                     [h.make_tensor_value_info(out, kind_of, dims)], init)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    h.set_model_props(m, {"names": repr(dict(enumerate(NAMES))), "stride": "32", "task": "detect", "imgsz": "[96, 96]",
                          "batch": "1", "description": "fixture"})
    onnx.checker.check_model(m)
    onnx.save(m, f"{kind}.onnx")
    return m


def letterbox(im, auto):
    H, W = im.shape[:2]
    r = min(96 / H, 96 / W)
    nw, nh_ = round(W * r), round(H * r)
    dw, dh = 96 - nw, 96 - nh_
    if auto:
        dw, dh = dw % 32, dh % 32
    if (W, H) != (nw, nh_):
        im = cv2.resize(im, (nw, nh_), interpolation=cv2.INTER_LINEAR)
    t, b, l, rr = round(dh / 2 - .1), round(dh / 2 + .1), round(dw / 2 - .1), round(dw / 2 + .1)
    return cv2.copyMakeBorder(im, t, b, l, rr, cv2.BORDER_CONSTANT, value=(114, 114, 114)), (l, t), (nw / W, nh_ / H)


def iou(a, b):
    w, hh = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or hh <= 0:
        return np.float32(0)
    inter = w * hh
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def suppress(out, conf, limit, max_det, classes=None, agnostic=False):
    """non_max_suppression of Ultralytics, with multi_label off."""
    rows = out[0].T
    best, label = rows[:, 4:].max(1), rows[:, 4:].argmax(1)
    keep = best > np.float32(conf)
    if classes is not None:
        keep &= np.isin(label, classes)
    xy, half = rows[:, :2], rows[:, 2:4] / 2
    boxes = np.concatenate([xy - half, xy + half], 1)[keep]
    best, label = best[keep], label[keep]
    shifted = boxes + (label * (0 if agnostic else 7680)).astype(np.float32)[:, None]
    order, kept = np.argsort(-best, kind="stable"), []
    for i in order:
        if all(iou(shifted[i], shifted[k]) <= np.float32(limit) for k in kept):
            kept.append(i)
    return [(*boxes[i], best[i], label[i]) for i in kept[:max_det]]


def detect(session, kind, path, conf, limit, max_det, classes=None, agnostic=False):
    im = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    x, (l, t), (gx, gy) = letterbox(im, kind != "static")
    x = np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
    out = session.run(None, {"images": x.astype(np.float16) if kind == "half" else x})[0].astype(np.float32)
    if out.shape[-1] == 6:
        found = [tuple(r) for r in out[0] if r[4] > conf and (classes is None or int(r[5]) in classes)][:max_det]
    else:
        found = suppress(out, conf, limit, max_det, classes, agnostic)
    H, W = im.shape[:2]
    return {"width": W, "height": H, "boxes": [
        [float(np.clip((b[0] - l) / gx, 0, W)), float(np.clip((b[1] - t) / gy, 0, H)),
         float(np.clip((b[2] - l) / gx, 0, W)), float(np.clip((b[3] - t) / gy, 0, H)), float(b[4]), int(b[5])] for b in found]}


def scene(w, hh):
    y, x = np.mgrid[0:hh, 0:w].astype(np.float64)
    p = np.stack([127 + 120 * np.sin(x / 40 + y / 70), 127 + 120 * np.cos(x / 50 - y / 30), 255 * (x + y) / (w + hh)], -1)
    for _ in range(14):
        x0, y0 = rng.integers(0, w - 40), rng.integers(0, hh - 40)
        p[y0:y0 + 38, x0:x0 + 38] = rng.integers(0, 256, 3)
    return Image.fromarray(np.clip(p + rng.normal(0, 4, p.shape), 0, 255).astype(np.uint8))


turned = Image.Exif()
turned[0x0112] = 6
scene(310, 200).save("wide.jpg", quality=80)
scene(180, 330).save("tall.jpg", quality=80)
scene(240, 160).save("turned.jpg", quality=80, exif=turned)
scene(96, 96).save("exact.png")
scene(160, 120).convert("L").save("gray.jpg", quality=80)

QUERIES = [dict(conf=.25, limit=.7, max_det=300), dict(conf=.05, limit=.45, max_det=300), dict(conf=.05, limit=.3, max_det=5),
           dict(conf=.1, limit=.5, max_det=300, classes=[1, 3]), dict(conf=.1, limit=.5, max_det=300, agnostic=True)]
for kind in ("silent", "nms"):
    graph(kind)
expected = []
for kind in ("dynamic", "static", "end2end", "half"):
    model = graph(kind)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for photo in ("wide.jpg", "tall.jpg", "turned.jpg", "exact.png", "gray.jpg"):
        for q in QUERIES:
            expected.append({"model": kind, "photo": photo, "conf": q["conf"], "iou": q["limit"], "max_det": q["max_det"],
                             "classes": q.get("classes"), "agnostic_nms": q.get("agnostic", False), **detect(session, kind, photo, **q)})
for e in expected:
    e["boxes"] = [[round(v, 4) for v in b[:4]] + [round(b[4], 6), b[5]] for b in e["boxes"]]
json.dump(expected, open("expected.json", "w"), separators=(",", ":"))
print(len(expected), "answers,", sum(len(e["boxes"]) for e in expected), "boxes")
