"""Loads a package with mlflow and answers for photos given on standard input.
Fails when the forms that a photo may have do not all give the same answer."""

import base64
import json
import pathlib
import sys

import mlflow.onnx
import mlflow.pyfunc
import numpy as np
import pandas as pd
from PIL import Image, ImageOps

job = json.load(sys.stdin)
model = mlflow.pyfunc.load_model(job["model"])
params = {"conf": 0.25, "iou": job["iou"], "max_det": job["max_det"]}
answers = {name: model.predict(path, params) for name, path in job["photos"].items()}

name, path = sorted(job["photos"].items())[0]
data = pathlib.Path(path).read_bytes()
text = base64.b64encode(data).decode()
image = Image.open(path)
for form in (path, data, text, "data:image/jpeg;base64," + text, image, np.asarray(ImageOps.exif_transpose(image).convert("RGB"))):
    if model.predict(form, params) != answers[name]:
        sys.exit(f"{type(form)} gives another answer than the path")
for forms in ([path, data], pd.DataFrame({"photo": [path, text]}), pd.Series([path, text]), np.array([path, text], dtype=object)):
    if model.predict(forms, params) != [answers[name]] * 2:
        sys.exit(f"a batch as {type(forms)} gives another answer than the path")

few = model.predict(path, {"conf": 0.25, "max_det": 1})
if few != answers[name][:1]:
    sys.exit(f"max_det is not heeded: {len(few)} boxes")

mlflow.onnx.load_model(job["model"])
json.dump(answers, sys.stdout)
