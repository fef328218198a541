"""ONNX Runtime behind FastAPI by hand: OpenCV decodes, letterboxes and suppresses, numpy does the rest.

MODEL is the export; THREADS of a run, 0 for the default; CONCURRENCY bounds the photos in work, 0 for no bound.
"""

import ast
import os

import anyio
import cv2
import numpy as np
import onnxruntime
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

options = onnxruntime.SessionOptions()
threads = int(os.environ["THREADS"])
if threads:
    options.intra_op_num_threads = threads
    cv2.setNumThreads(threads)
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
port = session.get_inputs()[0]
dynamic = isinstance(port.shape[2], str)
names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
concurrency = int(os.environ["CONCURRENCY"]) or 1000
app = FastAPI()
gate = None


def letterbox(image):
    h, w = image.shape[:2]
    r = min(640 / h, 640 / w)
    sw, sh = round(w * r), round(h * r)
    dw, dh = 640 - sw, 640 - sh
    if dynamic:
        dw, dh = dw % 32, dh % 32
    left, top = dw // 2, dh // 2
    if (w, h) != (sw, sh):
        image = cv2.resize(image, (sw, sh), interpolation=cv2.INTER_LINEAR)
    if dw or dh:
        image = cv2.copyMakeBorder(image, top, dh - top, left, dw - left, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return cv2.dnn.blobFromImage(image, 1 / 255, swapRB=True), left, top, sw / w, sh / h


def answer(body: bytes):
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return JSONResponse({"error": "not a photo"}, 422)
    blob, left, top, gx, gy = letterbox(image)
    out = session.run(None, {port.name: blob})[0][0]
    scores = out[4:].max(0)
    keep = scores > 0.25
    out, scores = out[:, keep], scores[keep]
    classes = out[4:].argmax(0) if scores.size else np.zeros(0, int)
    x, y, w, h = out[:4]
    boxes = np.stack([x - w / 2, y - h / 2, w, h], 1)
    chosen = cv2.dnn.NMSBoxesBatched(boxes, scores, classes, 0.25, 0.7)[:300] if scores.size else []
    return JSONResponse({"detections": [
        {
            "box": [float((boxes[i, 0] - left) / gx), float((boxes[i, 1] - top) / gy), float((boxes[i, 0] + boxes[i, 2] - left) / gx), float((boxes[i, 1] + boxes[i, 3] - top) / gy)],
            "confidence": float(scores[i]), "class_id": int(classes[i]), "class": names[int(classes[i])],
        } for i in chosen
    ]})


@app.post("/detect")
async def detect(request: Request):
    global gate
    gate = gate or anyio.CapacityLimiter(concurrency)
    body = await request.body()
    async with gate:
        return await run_in_threadpool(answer, body)
