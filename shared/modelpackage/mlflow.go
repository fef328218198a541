package modelpackage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"text/template"
	"time"
)

//go:embed litterloop_pyfunc.py
var pyfunc []byte

// Files of an MLflow model that tell its environment.
const (
	requirementsFile = "requirements.txt"
	condaFile        = "conda.yaml"
	pythonEnvFile    = "python_env.yaml"
)

// requirements of the pyfunc. Pillow decodes; OpenCV is not needed.
const requirements = "mlflow\nnumpy\nonnxruntime\npillow\n"

const conda = `name: litterloop
channels:
- conda-forge
dependencies:
- python>=3.10
- pip
- pip:
  - mlflow
  - numpy
  - onnxruntime
  - pillow
`

const pythonEnv = `python: "3.11"
build_dependencies:
- pip
dependencies:
- -r requirements.txt
`

// mlmodel is the MLmodel file: a pyfunc that takes photos, and the graph alone
// for those who do their own pre-processing. Text goes in as JSON, which is
// YAML.
var mlmodel = template.Must(template.New("MLmodel").Funcs(template.FuncMap{
	"json": func(v any) (string, error) { p, err := json.Marshal(v); return string(p), err },
}).Parse(`artifact_path: model
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_version: 1.16.0
    providers:
    - CPUExecutionProvider
  python_function:
    code: .
    data: model.onnx
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: litterloop_pyfunc
    python_version: 3.11.0
metadata:
  name: {{json .Name}}
  dataset: {{json .Dataset}}
  classes: {{json .Classes}}
mlflow_version: 3.1.0
model_id: null
model_size_bytes: {{.Size}}
model_uuid: {{json .Run}}
prompts: null
run_id: {{json .Run}}
signature:
  inputs: null
  outputs: null
  params: '[{"name": "conf", "default": 0.25, "shape": null, "type": "double"}, {"name":
    "iou", "default": 0.7, "shape": null, "type": "double"}, {"name": "max_det", "default":
    300, "shape": null, "type": "long"}]'
utc_time_created: {{json .Time}}
`))

// flavours returns the files that make the package an MLflow model.
func (c Content) flavours() map[string][]byte {
	var b bytes.Buffer
	err := mlmodel.Execute(&b, map[string]any{
		"Name": c.Card.Name, "Dataset": c.Card.Dataset, "Classes": c.Card.Classes, "Run": c.Card.Run,
		"Size": len(c.Model), "Time": c.Card.Created.UTC().Format(time.DateTime + ".000000"),
	})
	if err != nil {
		panic(fmt.Sprintf("MLmodel template: %v", err)) // only strings and numbers go in
	}
	return map[string][]byte{
		MLmodelFile:      b.Bytes(),
		PyfuncFile:       pyfunc,
		requirementsFile: []byte(requirements),
		condaFile:        []byte(conda),
		pythonEnvFile:    []byte(pythonEnv),
	}
}
