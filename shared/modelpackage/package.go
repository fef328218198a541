// Package modelpackage is the contract between a trainer and everything after
// it: a directory of files that holds the model, proof of what it answers, and
// where it comes from. A trainer writes it under a run's artifacts; the gate,
// the detector and drift read it.
package modelpackage

import "time"

// Files of a package.
const (
	ModelFile      = "model.onnx" // dynamic shape, no NMS inside, Ultralytics' metadata: names, stride, imgsz, task
	MLmodelFile    = "MLmodel"    // MLflow flavour, so that mlflow.pyfunc.load_model takes a raw photo
	PyfuncFile     = "litterloop_pyfunc.py"
	GoldenDir      = "golden/"            // photos
	GoldenFile     = "golden/golden.json" // []GoldenPhoto: the trainer's own detections on them
	ReferenceFile  = "reference.parquet"  // predictionlog rows of the validation split
	CardFile       = "card.json"
	CheckpointFile = "checkpoint.bin" // the trainer's own weights, to go on from; optional
)

// Detection is a box in pixels of the displayed photo.
type Detection struct {
	Box        [4]float64 `json:"box"` // x1, y1, x2, y2
	ClassID    int        `json:"class_id"`
	Class      string     `json:"class"`
	Confidence float64    `json:"confidence"`
}

// GoldenPhoto is a photo and what the trainer's own forward pass found on it at
// the options of Golden. A detector that serves the package must find the same,
// within 0.5 px and 0.001.
type GoldenPhoto struct {
	File       string      `json:"file"` // under GoldenDir
	SHA256     string      `json:"sha256"`
	Detections []Detection `json:"detections"`
}

// Golden is GoldenFile.
type Golden struct {
	Conf   float64       `json:"conf"` // options of the detections
	IoU    float64       `json:"iou"`
	MaxDet int           `json:"max_det"`
	Photos []GoldenPhoto `json:"photos"`
}

// Metrics on a held-out split, as pycocotools computes them, in [0, 1].
type Metrics struct {
	MAP50     float64        `json:"mAP50"`
	MAP50_95  float64        `json:"mAP50_95"`
	Recall100 float64        `json:"recall100"`
	PerClass  []ClassMetrics `json:"per_class,omitempty"`
	Photos    int            `json:"photos"`
	Boxes     int            `json:"boxes"`
}

// ClassMetrics are one class's; Support is its number of labelled boxes.
type ClassMetrics struct {
	Class   string  `json:"class"`
	Support int     `json:"support"`
	AP50    float64 `json:"ap50"`
	AP50_95 float64 `json:"ap50_95"`
}

// Card is CardFile: what the model is and where it comes from.
type Card struct {
	Schema      int            `json:"schema"`
	Name        string         `json:"name"`
	Run         string         `json:"run"`
	Created     time.Time      `json:"created"`
	Dataset     string         `json:"dataset"` // data set version id
	Classes     []string       `json:"classes"`
	ImageSize   int            `json:"image_size"`
	Recipe      map[string]any `json:"recipe"`                 // every parameter of the training
	Code        string         `json:"code"`                   // version of the program that trained
	StartedFrom string         `json:"started_from,omitempty"` // run or weights the training began with
	Licence     string         `json:"licence"`
	SHA256      string         `json:"sha256"`  // of ModelFile
	Metrics     Metrics        `json:"metrics"` // on the validation split of Dataset
	// Files are the SHA-256 of every file of the package but the card, by name.
	Files map[string]string `json:"files"`
}
