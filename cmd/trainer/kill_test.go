package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	gcs "cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/embedded"
)

// TestMain makes of this test's program the trainer, when asked to.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == string(training.Train) {
		main()
		return
	}
	os.Exit(m.Run())
}

// machines is a place where jobs run: each execution is a process with a
// directory of its own, and one of them is killed.
type machines struct {
	t   *testing.T
	env []string

	mu    sync.Mutex
	saved int // checkpoints of this training
	doom  int // the checkpoint after which the process that wrote it is killed; 0: none
	work  *exec.Cmd
	args  [][]string // of the executions
}

// watch counts checkpoints on their way to the bucket. The process that wrote the
// chosen one dies when the bucket has it and before it is told so.
func (m *machines) watch(storage http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the process is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Method != http.MethodPost || !bytes.Contains(body[:min(len(body), 1024)], []byte(`/checkpoint"`)) {
			storage.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		storage.ServeHTTP(answer, r)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.saved++; m.saved == m.doom {
			if err := m.work.Process.Kill(); err != nil {
				m.t.Error(err)
			}
		}
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// Start implements the launcher; run does the work.
func (m *machines) Start(_ context.Context, s job.Spec) (string, error) {
	m.args = append(m.args, s.Args)
	return fmt.Sprint("execution-", len(m.args)), nil
}

func (m *machines) Find(context.Context, job.Spec) (string, error) { return "", errs.NotFound }

func (m *machines) State(context.Context, string) (job.State, string, error) {
	return job.Lost, "", nil
}

func (m *machines) Cancel(context.Context, string) error { return nil }

// run executes the newest launch and returns how it ended.
func (m *machines) run(models string) error {
	here := m.t.TempDir()
	m.mu.Lock()
	m.work = exec.Command(os.Args[0], m.args[len(m.args)-1]...)
	m.work.Dir = here
	m.work.Env = append(slices.Clone(m.env), "TMPDIR="+here, "MODELS_BUCKET="+models)
	var said bytes.Buffer
	m.work.Stderr = &said
	err := m.work.Start()
	m.mu.Unlock()
	if err == nil {
		err = m.work.Wait()
	}
	if err != nil && !strings.Contains(err.Error(), "killed") {
		m.t.Logf("%s", said.Bytes())
	}
	return err
}

// A fine-tuning killed by kill -9 right after a checkpoint, gone on with by another
// process that has nothing but the bucket, makes the model of one left alone, to
// the bit.
func TestTrainer_killedAndResumedElsewhereMakesTheSameModel(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skipf("ONNX Runtime is missing: %v", err)
	}
	if testing.Short() {
		t.Skip("starts processes for some seconds")
	}
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close(context.WithoutCancel(t.Context())) })
	m := &machines{t: t}
	host := httptest.NewServer(m.watch(cloud.Storage))
	t.Cleanup(host.Close)
	m.env = append(os.Environ(), append(cloud.Endpoints.Environ(), "STORAGE_EMULATOR_HOST="+host.URL)...)
	topic(t, cloud.Endpoints)
	t.Setenv("STORAGE_EMULATOR_HOST", host.URL)
	client, err := gcs.NewClient(t.Context(), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bucket := func(name string) blob.Bucket {
		if err := client.Bucket(name).Create(t.Context(), "local", nil); err != nil {
			t.Fatal(err)
		}
		return blobgcs.New(client, name)
	}
	datasets := bucket("local-datasets")
	store(t, datasets)
	start, err := embedded.Untrained([]string{"thing"}, 96, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	if _, err := datasets.Write(t.Context(), "start.onnx", bytes.NewReader(start.ONNX), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	const recipe = `{"name": "finetune", "from": "gs://local-datasets/start.onnx", "steps": 12, "checkpoint_every": 3, "validate_every": 4,
		"batch_size": 2, "image_size": 96, "serve_size": 0, "threads": 2}`

	// train has a training done, and begun again as often as its process is killed.
	train := func(models string, doom int) (pkg map[string]string, executions int) {
		t.Helper()
		b := bucket(models)
		m.saved, m.doom, m.args = 0, doom, nil
		book := training.NewBook(b, time.Now)
		supervisor := training.NewSupervisor(book, m, "trainer", training.DefaultPolicy(), time.Now)
		x, err := training.New(event.TrainData{Dataset: "d1", Trigger: "validated"}, json.RawMessage(recipe))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := book.Begin(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		for executions = 1; ; executions++ {
			if err := supervisor.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := m.run(models)
			if err == nil {
				break
			}
			if m.saved != doom {
				t.Fatalf("execution %d: %v", executions, err)
			}
		}
		if m.saved != 4 {
			t.Errorf("%d checkpoints of a training of 12 steps: want one every 3, each once", m.saved)
		}
		if r, err := tracking.New(b, time.Now).Run(t.Context(), x.Run); err != nil || r.Status != tracking.Finished {
			t.Errorf("run %+v, %v", r, err)
		}
		p, err := modelpackage.Load(t.Context(), b, training.Package("litter", x.Run))
		if err == nil {
			err = p.Verify(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		pkg = map[string]string{}
		for _, file := range []string{modelpackage.ModelFile, modelpackage.CheckpointFile} {
			data, err := p.Read(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			sum := md5.Sum(data)
			pkg[file] = hex.EncodeToString(sum[:])
		}
		return pkg, executions
	}
	whole, _ := train("left-alone", 0)
	again, executions := train("killed", 2)
	if executions != 2 {
		t.Errorf("%d executions; want one that is killed and one that goes on", executions)
	}
	if diff := cmp.Diff(whole, again); diff != "" {
		t.Errorf("the resumed training made other weights (-left alone +killed):\n%s", diff)
	}
}

// topic creates the one that the trainer publishes to.
func topic(t *testing.T, e localcloud.Endpoints) {
	t.Helper()
	client, err := pubsub.NewClient(t.Context(), e.Project, option.WithEndpoint(e.GRPC), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: "projects/" + e.Project + "/topics/" + bus.Register}); err != nil {
		t.Fatal(err)
	}
}

// store keeps a version of a few drawn photos, the current one.
func store(t *testing.T, b blob.Bucket) {
	t.Helper()
	photos, err := drawing.Set(1, 6, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for i, x := range photos {
		sum := md5.Sum(x.JPEG)
		p := dataset.Photo{MD5: hex.EncodeToString(sum[:]), Size: int64(len(x.JPEG)), Width: x.W, Height: x.H, Split: dataset.Train, Path: "images/train/" + x.Name + ".jpg"}
		if i >= 4 {
			p.Split, p.Path = dataset.Val, "images/val/"+x.Name+".jpg"
		}
		for _, o := range x.Boxes {
			p.Boxes = append(p.Boxes, dataset.Box{Class: o.Class, X: o.X1, Y: o.Y1, W: o.X2 - o.X1, H: o.Y2 - o.Y1})
		}
		_, err := b.Write(t.Context(), dataset.ContentObject(p.MD5), bytes.NewReader(x.JPEG), blob.WriteOptions{IfGeneration: blob.Any})
		if err = errors.Join(err, json.NewEncoder(&lines).Encode(p)); err != nil {
			t.Fatal(err)
		}
	}
	v := dataset.Version{Schema: 1, ID: "d1", Sequence: 1, Classes: drawing.Classes}
	_, err = b.Write(t.Context(), dataset.VersionObject(v.ID, dataset.PhotosFile), &lines, blob.WriteOptions{IfGeneration: blob.Any})
	if err == nil {
		_, err = blob.WriteJSON(t.Context(), b, dataset.VersionObject(v.ID, dataset.SummaryFile), v, blob.Any)
	}
	if err == nil {
		err = dataset.Pass(t.Context(), b, v, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}
