package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// call answers a request whose fields were read; nil is an empty answer.
type call func(*Server, *request) (any, error)

// stream answers by itself; an error that it returns, before it wrote anything,
// becomes the answer.
type stream func(s *Server, w http.ResponseWriter, r *http.Request, path map[string]string) error

type route struct {
	pattern string
	call    call
	stream  stream
}

// node is a part of a path. A part in braces matches any one part, {name...}
// all that follow.
type node struct {
	parts  map[string]*node
	any    *node
	rest   bool
	name   string
	routes map[string]route // by method
}

func (n *node) add(pattern, method string, r route) {
	r.pattern = "/" + strings.Trim(pattern, "/")
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		name, variable := strings.CutPrefix(part, "{")
		if variable {
			if n.any == nil {
				name, rest := strings.CutSuffix(strings.TrimSuffix(name, "}"), "...")
				n.any = &node{name: name, rest: rest}
			}
			n = n.any
			continue
		}
		if n.parts == nil {
			n.parts = map[string]*node{}
		}
		if n.parts[part] == nil {
			n.parts[part] = &node{}
		}
		n = n.parts[part]
	}
	if n.routes == nil {
		n.routes = map[string]route{}
	}
	n.routes[method] = r
	if method == http.MethodGet {
		n.routes[http.MethodHead] = r
	}
}

// lookup finds the route of a path and a method; methods are those that the path
// has.
func lookup(path, method string) (found *route, params map[string]string, methods []string) {
	n := table
	rest, more := strings.TrimPrefix(path, "/"), true
	for more {
		var part string
		whole := rest
		part, rest, more = strings.Cut(rest, "/")
		switch {
		case n.parts[part] != nil:
			n = n.parts[part]
		case n.any != nil && (part != "" || n.any.rest && whole != ""):
			n = n.any
			if params == nil {
				params = map[string]string{}
			}
			params[n.name] = part
			if n.rest {
				params[n.name], more = whole, false
			}
		default:
			return nil, nil, nil
		}
	}
	if n.routes == nil {
		return nil, nil, nil
	}
	methods = slices.Sorted(maps.Keys(n.routes))
	if r, ok := n.routes[method]; ok {
		return &r, params, methods
	}
	return nil, nil, methods
}

// table is every route, under each of the bases that MLflow serves it under.
var table = routes()

func routes() *node {
	root := &node{}
	for _, base := range []string{"api", "ajax-api"} {
		for spec, c := range calls {
			method, pattern, _ := strings.Cut(spec, " ")
			root.add(base+"/2.0"+pattern, method, route{call: c})
		}
		for spec, f := range streams {
			method, pattern, _ := strings.Cut(spec, " ")
			root.add(base+"/2.0"+pattern, method, route{stream: f})
		}
		root.add(base+"/3.0/mlflow/server-info", http.MethodGet, route{call: serverInfo})
	}
	root.add("ajax-api/2.0/mlflow/metrics/get-history-bulk", http.MethodGet, route{call: bulkHistory})
	root.add("ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files", http.MethodGet, route{stream: getModelArtifact})
	root.add("ajax-api/2.0/mlflow/upload-artifact", http.MethodPost, route{stream: uploadArtifact})
	root.add("get-artifact", http.MethodGet, route{stream: getRunArtifact})
	root.add("model-versions/get-artifact", http.MethodGet, route{stream: getVersionArtifact})
	return root
}

var calls = map[string]call{
	"POST /mlflow/experiments/create":                createExperiment,
	"GET /mlflow/experiments/get":                    getExperiment,
	"GET /mlflow/experiments/get-by-name":            getExperimentByName,
	"POST /mlflow/experiments/delete":                deleteExperiment,
	"POST /mlflow/experiments/restore":               restoreExperiment,
	"POST /mlflow/experiments/update":                updateExperiment,
	"POST /mlflow/experiments/search":                searchExperiments,
	"GET /mlflow/experiments/search":                 searchExperiments,
	"POST /mlflow/experiments/set-experiment-tag":    setExperimentTag,
	"POST /mlflow/experiments/delete-experiment-tag": deleteExperimentTag,

	"POST /mlflow/runs/create":        createRun,
	"GET /mlflow/runs/get":            getRun,
	"POST /mlflow/runs/update":        updateRun,
	"POST /mlflow/runs/delete":        deleteRun,
	"POST /mlflow/runs/restore":       restoreRun,
	"POST /mlflow/runs/search":        searchRuns,
	"POST /mlflow/runs/log-metric":    logMetric,
	"POST /mlflow/runs/log-parameter": logParam,
	"POST /mlflow/runs/set-tag":       setTag,
	"POST /mlflow/runs/delete-tag":    deleteTag,
	"POST /mlflow/runs/log-batch":     logBatch,
	"POST /mlflow/runs/log-inputs":    logInputs,
	"POST /mlflow/runs/outputs":       logOutputs,
	"POST /mlflow/runs/log-model":     logModel,

	"GET /mlflow/metrics/get-history":               metricHistory,
	"GET /mlflow/metrics/get-history-bulk-interval": bulkHistoryInterval,

	"POST /mlflow/logged-models":                                 createLoggedModel,
	"POST /mlflow/logged-models/search":                          searchLoggedModels,
	"GET /mlflow/logged-models/{model_id}":                       getLoggedModel,
	"PATCH /mlflow/logged-models/{model_id}":                     finalizeLoggedModel,
	"DELETE /mlflow/logged-models/{model_id}":                    deleteLoggedModel,
	"POST /mlflow/logged-models/{model_id}/params":               logModelParams,
	"PATCH /mlflow/logged-models/{model_id}/tags":                setModelTags,
	"DELETE /mlflow/logged-models/{model_id}/tags/{tag_key...}":  deleteModelTag,
	"GET /mlflow/logged-models/{model_id}/artifacts/directories": listModelArtifacts,

	"GET /mlflow/artifacts/list":                             listRunArtifacts,
	"GET /mlflow-artifacts/artifacts":                        listArtifacts,
	"POST /mlflow-artifacts/mpu/create/{artifact_path...}":   multipart,
	"POST /mlflow-artifacts/mpu/complete/{artifact_path...}": multipart,
	"POST /mlflow-artifacts/mpu/abort/{artifact_path...}":    multipart,
	"GET /mlflow-artifacts/presigned/{artifact_path...}":     presigned,
	"POST /mlflow/artifacts/presigned-upload-url":            presigned,
	"POST /mlflow/artifacts/presigned-download-url":          presigned,

	"POST /mlflow/registered-models/create":              createModel,
	"GET /mlflow/registered-models/get":                  getModel,
	"PATCH /mlflow/registered-models/update":             updateModel,
	"POST /mlflow/registered-models/rename":              renameModel,
	"DELETE /mlflow/registered-models/delete":            deleteModel,
	"GET /mlflow/registered-models/search":               searchModels,
	"POST /mlflow/registered-models/set-tag":             setRegisteredTag,
	"DELETE /mlflow/registered-models/delete-tag":        deleteRegisteredTag,
	"POST /mlflow/registered-models/get-latest-versions": latestVersions,
	"GET /mlflow/registered-models/get-latest-versions":  latestVersions,
	"POST /mlflow/registered-models/alias":               setAlias,
	"GET /mlflow/registered-models/alias":                getByAlias,
	"DELETE /mlflow/registered-models/alias":             deleteAlias,

	"POST /mlflow/model-versions/create":           createVersion,
	"GET /mlflow/model-versions/get":               getVersion,
	"PATCH /mlflow/model-versions/update":          updateVersion,
	"DELETE /mlflow/model-versions/delete":         deleteVersion,
	"GET /mlflow/model-versions/search":            searchVersions,
	"GET /mlflow/model-versions/get-download-uri":  downloadURI,
	"POST /mlflow/model-versions/set-tag":          setVersionTag,
	"DELETE /mlflow/model-versions/delete-tag":     deleteVersionTag,
	"POST /mlflow/model-versions/transition-stage": transitionStage,
}

var streams = map[string]stream{
	"GET /mlflow-artifacts/artifacts/{artifact_path...}":    getArtifact,
	"PUT /mlflow-artifacts/artifacts/{artifact_path...}":    putArtifact,
	"DELETE /mlflow-artifacts/artifacts/{artifact_path...}": deleteArtifact,
}

func serverInfo(*Server, *request) (any, error) {
	return map[string]any{
		"store_type": "SqlStore", "workspaces_enabled": false, "trace_archival_enabled": false,
		"multipart_uploads_enabled": false, "multipart_downloads_enabled": false,
		"presigned_upload_run_id_supported": false, "presigned_upload_model_id_supported": false,
		"features_enabled": map[string]bool{"gateway": false},
	}, nil
}
