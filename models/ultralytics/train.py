"""Trains a detector with Ultralytics, for Litterloop's training job.

The job (Go, package shared/training/ultralytics) starts this program and speaks
to it in lines of JSON: the settings come first on standard input, messages go
out on standard output, and everything that Ultralytics prints goes to standard
error. One message is sent at a time:

    {"note": TEXT}                            worth telling the run's owner
    {"epoch": N, "epochs": N, "figures": {}}  an epoch's losses and metrics
    {"saved": PATH}                           a checkpoint; waits for a line back
    {"trained": {"onnx", "weights", "image_size"}}
    {"failed": TEXT}                          this data or recipe can't be trained

After "trained" each line in, {"photo", "conf", "iou", "max_det"}, is answered
with Ultralytics' own {"detections": [...]}, until standard input ends.
"""

import contextlib
import json
import os
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path

messages = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
os.dup2(2, 1)  # what libraries print must not look like a message


def say(**message):
    messages.write(json.dumps(message) + "\n")


def main():
    settings = json.loads(sys.stdin.readline())
    work = Path(settings["work"])
    os.environ["YOLO_CONFIG_DIR"] = str(work)  # Ultralytics' own settings file
    os.environ["YOLO_AUTOINSTALL"] = "false"
    # A tracker that is away costs an epoch this long, no more.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from ultralytics import YOLO, settings as switches

    tracked = bool(os.environ.get("MLFLOW_TRACKING_URI"))
    switches.update({name: False for name in ("clearml", "comet", "dvc", "raytune", "tensorboard", "wandb", "sync") if name in switches})
    switches.update({"mlflow": tracked})

    try:
        best, model = train(YOLO, settings, work, tracked)
        onnx = model.export(format="onnx", dynamic=True, imgsz=settings["image_size"], device="cpu")
    except OSError:
        raise  # the machine's fault, not the data's: the job starts again
    except Exception as fault:
        say(failed=explain(fault))
        raise
    say(trained={"onnx": str(onnx), "weights": str(best), "image_size": settings["image_size"]})
    predictor = YOLO(str(best))
    for line in sys.stdin:
        say(detections=detect(predictor, json.loads(line), settings["image_size"]))
    # The job, not MLflow's exit hook, says what became of the run.
    messages.flush()
    os._exit(0)


def explain(fault):
    text = f"{type(fault).__name__}: {fault}"
    if "out of memory" in text.lower() or isinstance(fault, MemoryError):
        return f"{text} (lower batch_size or image_size, or take a smaller model)"
    return text


def train(yolo, settings, work, tracked):
    """Trains, or goes on, and returns the best weights' path and their model."""
    run = work / "run"
    weights = run / "weights"
    options = dict(
        data=settings["data"], imgsz=settings["image_size"], batch=settings["batch_size"], epochs=settings["epochs"],
        patience=settings["patience"], seed=settings["seed"], workers=settings["workers"], device=settings["device"] or None,
        save_dir=str(run), exist_ok=True, deterministic=True, **settings["options"],
    )  # fmt: skip
    finished = False
    if settings["checkpoint"]:
        weights.mkdir(parents=True, exist_ok=True)
        with tarfile.open(settings["checkpoint"]) as kept:
            kept.extractall(run, filter="data")
        finished = ended(weights / "last.pt")
    if not finished:
        model = yolo(str(weights / "last.pt")) if settings["checkpoint"] else begin(yolo, settings)
        report(model, settings, work, tracked)
        model.train(resume=bool(settings["checkpoint"]), **options)
    best = next((p for p in (weights / "best.pt", weights / "last.pt") if p.exists()), None)
    if best is None:
        raise RuntimeError("Ultralytics trained and kept no weights")
    return best, yolo(str(best))


def ended(last):
    """Tells whether a checkpoint was taken after the last epoch."""
    import torch

    kept = torch.load(last, map_location="cpu", weights_only=False)
    return kept["epoch"] < 0 or kept["epoch"] + 1 >= kept["train_args"]["epochs"]


def begin(yolo, settings):
    """Returns the model to begin with; without weights one from scratch, and says so."""
    name, weights = settings["model"], settings["weights"]
    if weights == "hub":
        try:
            return yolo(f"{name}.pt")
        except Exception as fault:  # no network, or no such release
            if settings["require_weights"]:  # an OSError: the job starts again, and the network may be back
                raise ConnectionError(f"pretrained weights {name}.pt are not to be had, and the recipe requires them: {fault}") from fault
            say(note=f"pretrained weights {name}.pt are not to be had ({fault}); training from scratch. Give weights: a path or gs:// to begin from a file")
    elif weights:
        return yolo(weights)
    else:
        say(note="training from scratch: the recipe names no weights")
    return yolo(f"{name}.yaml")


def report(model, settings, work, tracked):
    """Has the training tell of its epochs, keep its checkpoints, and keep its tracker."""
    trained = set()

    def on_train_epoch_end(trainer):
        trained.add(trainer.epoch)

    def on_fit_epoch_end(trainer):
        if trainer.epoch not in trained:
            return  # the best weights measured again, after the last epoch
        figures = {**trainer.label_loss_items(trainer.tloss, prefix="train"), **trainer.metrics, **trainer.lr}
        say(epoch=trainer.epoch + 1, epochs=trainer.epochs, figures={plain(k): float(v) for k, v in figures.items()})

    def on_model_save(trainer):
        every = settings["checkpoint_every"]
        if (trainer.epoch + 1) % every and trainer.epoch + 1 < trainer.epochs:
            return
        kept = work / "checkpoint.tar"
        with tarfile.open(kept, "w") as archive:
            for path in ("weights/last.pt", "weights/best.pt", "results.csv"):
                if (trainer.save_dir / path).exists():
                    archive.add(trainer.save_dir / path, arcname=path)
        say(saved=str(kept))
        sys.stdin.readline()

    model.add_callback("on_train_epoch_end", on_train_epoch_end)
    model.add_callback("on_fit_epoch_end", on_fit_epoch_end)
    model.add_callback("on_model_save", on_model_save)
    if tracked:
        Tracker(settings["run"]).attach(model)


def plain(name):
    return name.replace("(", "").replace(")", "")


class Tracker:
    """Keeps Ultralytics' own MLflow callback going on the job's run.

    The callback gives a run up at the first request that fails. This brings it
    back at the next epoch, and sends what was missed, so that a tracking server
    that is away for minutes costs no training and no point. It must be attached
    before training begins: its hooks then run before the callback's.
    """

    def __init__(self, run):
        self.run = run
        self.missed = []  # (step, metrics) that the callback may not have sent

    def attach(self, model):
        model.add_callback("on_pretrain_routine_end", lambda trainer: self.adopt())
        model.add_callback("on_train_epoch_end", lambda trainer: self.passing(trainer, {**trainer.lr, **trainer.label_loss_items(trainer.tloss, prefix="train")}))
        model.add_callback("on_fit_epoch_end", lambda trainer: self.passing(trainer, trainer.metrics))
        model.add_callback("on_train_end", lambda trainer: self.passing(trainer, None))

    def adopt(self):
        """Makes the job's run the active one, so that the callback starts none of its own."""
        import mlflow

        authorise()
        with tolerated("the tracking server does not answer"):
            if mlflow.active_run() is None:
                mlflow.start_run(run_id=self.run, log_system_metrics=False)

    def passing(self, trainer, metrics):
        from ultralytics.utils.callbacks import mlflow as callback

        authorise()
        if getattr(trainer, "_mlflow_active", False):
            self.missed.clear()
        else:
            self.adopt()
            import mlflow

            if mlflow.active_run() is not None:
                callback.on_pretrain_routine_end(trainer)
            if getattr(trainer, "_mlflow_active", False):
                with tolerated("metrics not sent"):
                    for step, figures in self.missed:
                        mlflow.log_metrics(figures, step=step)
                    self.missed.clear()
        if metrics:
            self.missed.append((trainer.epoch, {plain(k): float(v) for k, v in metrics.items()}))


@contextlib.contextmanager
def tolerated(what):
    try:
        yield
    except Exception as fault:
        print(f"{what}: {fault}", file=sys.stderr)


def authorise():
    """Fetches the identity token that Cloud Run asks of callers; it lasts an hour."""
    if not os.environ.get("CLOUD_RUN_JOB") or not os.environ["MLFLOW_TRACKING_URI"].startswith("https://"):
        return
    audience = os.environ.get("MLFLOW_TRACKING_AUDIENCE") or os.environ["MLFLOW_TRACKING_URI"]
    ask = urllib.request.Request(
        f"http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity?audience={audience}",
        headers={"Metadata-Flavor": "Google"},
    )
    with tolerated("no identity token"), urllib.request.urlopen(ask, timeout=10) as answer:
        os.environ["MLFLOW_TRACKING_TOKEN"] = answer.read().decode()


def detect(model, query, image_size):
    (result,) = model.predict(
        query["photo"], conf=query["conf"], iou=query["iou"], max_det=query["max_det"], imgsz=image_size, device="cpu", verbose=False
    )
    return [
        {"box": box, "class_id": int(kind), "class": result.names[int(kind)], "confidence": confidence}
        for box, confidence, kind in zip(result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist())
    ]


if __name__ == "__main__":
    main()
