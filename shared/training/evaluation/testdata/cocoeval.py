"""Draws detection problems, measures them with pycocotools, writes cocoeval.json.

The figures in cocoeval.json are facts: the tests compare this package with them
and need no Python. To make them again:

    pip install pycocotools==2.0.11 numpy
    python cocoeval.py > cocoeval.json
"""
import contextlib
import io
import json
import random

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def box(r, whole):
    w, h = r.uniform(3, 120), r.uniform(3, 120)
    x, y = r.uniform(0, 400 - w), r.uniform(0, 300 - h)
    b = [x, y, x + w, y + h]
    return [round(v) for v in b] if whole else [round(v, 3) for v in b]


def near(r, b, spread, whole):
    k = spread * max(b[2] - b[0], b[3] - b[1])
    v = [c + r.gauss(0, k) for c in b]
    v = [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 1, max(v[1], v[3]) + 1]
    return [round(c) for c in v] if whole else [round(c, 3) for c in v]


def problem(seed, photos, classes, labels, found, noise, spread, whole, digits):
    r = random.Random(seed)
    out = []
    for _ in range(photos):
        ls = [{"class": r.randrange(classes), "box": box(r, whole)} for _ in range(r.randint(*labels))]
        ds = []
        for l in ls:
            for _ in range(r.randint(*found)):
                c = l["class"] if r.random() < 0.85 else r.randrange(classes)
                ds.append({"class": c, "score": round(r.betavariate(4, 2), digits), "box": near(r, l["box"], spread, whole)})
        for _ in range(r.randint(*noise)):
            ds.append({"class": r.randrange(classes), "score": round(r.betavariate(2, 4), digits), "box": box(r, whole)})
        r.shuffle(ds)
        out.append({"labels": ls, "detections": ds})
    return out


def measure(photos, classes):
    xywh = lambda b: [b[0], b[1], b[2] - b[0], b[3] - b[1]]
    images, annotations, results = [], [], []
    for i, p in enumerate(photos, 1):
        images.append({"id": i})
        for l in p["labels"]:
            b = xywh(l["box"])
            # Ids from 1: COCOeval takes a match with annotation 0 for none.
            annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": l["class"], "bbox": b, "area": b[2] * b[3], "iscrowd": 0})
        for d in p["detections"]:
            results.append({"image_id": i, "category_id": d["class"], "bbox": xywh(d["box"]), "score": d["score"]})
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {"images": images, "annotations": annotations, "categories": [{"id": c} for c in range(classes)]}
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(results), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    recall50 = e.eval["recall"][0, :, 0, 2]  # threshold, class
    precision = e.eval["precision"][:, :, :, 0, 2]  # threshold, recall, class
    per = []
    for c in range(classes):
        n = sum(l["class"] == c for p in photos for l in p["labels"])
        if n:
            per.append({"class": c, "support": n, "ap50": precision[0, :, c].mean(), "ap": precision[:, :, c].mean()})
    names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]
    summary = dict(zip(names, e.stats)) | {"recall50": recall50[recall50 > -1].mean()}
    return {"summary": summary, "per_class": per}


PROBLEMS = [
    ("a good detector", dict(seed=1, photos=12, classes=4, labels=(0, 6), found=(0, 2), noise=(0, 4), spread=0.05, whole=False, digits=4)),
    ("a poor detector", dict(seed=2, photos=12, classes=3, labels=(1, 5), found=(0, 2), noise=(2, 9), spread=0.3, whole=False, digits=4)),
    ("many equal scores", dict(seed=3, photos=10, classes=3, labels=(1, 6), found=(1, 3), noise=(0, 6), spread=0.1, whole=False, digits=1)),
    ("whole pixels, equal overlaps", dict(seed=4, photos=15, classes=2, labels=(1, 7), found=(1, 3), noise=(0, 3), spread=0.08, whole=True, digits=1)),
    ("more than 100 detections a photo", dict(seed=5, photos=2, classes=1, labels=(60, 80), found=(2, 3), noise=(20, 40), spread=0.1, whole=True, digits=2)),
    ("classes without labels", dict(seed=6, photos=3, classes=9, labels=(0, 2), found=(0, 2), noise=(3, 8), spread=0.1, whole=False, digits=3)),
]

if __name__ == "__main__":
    cases = []
    for name, p in PROBLEMS:
        photos = problem(**p)
        cases.append({"name": name, "classes": p["classes"], "photos": photos, "want": measure(photos, p["classes"])})
    print(json.dumps(cases, separators=(",", ":"), default=float))
