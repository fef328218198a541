"""Ultralytics behind FastAPI, as its users deploy it: the photo as the body in, boxes out.

MODEL is the export; THREADS > 0 bounds ONNX Runtime's threads, which Ultralytics itself leaves at its default.
"""

import os

import cv2
import numpy as np
import onnxruntime
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

threads = int(os.environ["THREADS"])
if threads:
    make = onnxruntime.InferenceSession

    def bounded(path, options=None, **kwargs):
        options = options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return make(path, options, **kwargs)

    onnxruntime.InferenceSession = bounded
    cv2.setNumThreads(threads)

from ultralytics import YOLO  # noqa: E402 (after the bound)

net = YOLO(os.environ["MODEL"], task="detect")
app = FastAPI()


def answer(body: bytes):
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return JSONResponse({"error": "not a photo"}, 422)
    result = net.predict(image, imgsz=640, conf=0.25, iou=0.7, device="cpu", verbose=False)[0]
    boxes = result.boxes.data.tolist()
    return JSONResponse({"detections": [
        {"box": b[:4], "confidence": b[4], "class_id": int(b[5]), "class": result.names[int(b[5])]} for b in boxes
    ]})


@app.post("/detect")
async def detect(request: Request):
    return await run_in_threadpool(answer, await request.body())
