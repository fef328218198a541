"""Exports YOLO11n with random weights, whose work is that of trained ones: export.py DIRECTORY"""

import os
import shutil
import sys

from ultralytics import YOLO

for name, dynamic in (("dynamic", True), ("static", False)):
    made = YOLO("yolo11n.yaml").export(format="onnx", imgsz=640, dynamic=dynamic, device="cpu")
    shutil.move(made, os.path.join(sys.argv[1], f"{name}.onnx"))
