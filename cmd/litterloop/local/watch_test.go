package local

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/functions/register"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// The local Cloud Run starts this binary for its containers. As the trainer it
// says nothing to the loop: the first launch of a training dies, others stay.
func TestMain(m *testing.M) {
	launch := os.Getenv(job.IDEnv)
	switch {
	case launch == "":
		os.Exit(m.Run())
	case strings.HasSuffix(launch, "-1"):
		os.Exit(9)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	os.Exit(1)
}

// A job that dies is started again; so is one that the platform no longer knows;
// with one that somebody cancels its training ends, and the loop takes the next.
// No event tells of any of it.
func TestWatch_noticesJobsThatEndWithoutAWord(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, err := Start(ctx, Options{State: t.TempDir(), Schedule: "0 4 * * *", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(ctx)
	executions, err := run.NewExecutionsClient(ctx, plain(l.Cloud.Endpoints.GRPC)...)
	if err != nil {
		t.Fatal(err)
	}
	defer executions.Close()

	ask(t, l, "d1")
	lost := launched(t, l, "d1", 2).Launch.Execution
	if _, err := executions.DeleteExecution(ctx, &runpb.DeleteExecutionRequest{Name: lost}); err != nil {
		t.Fatal(err)
	}
	cancelled := launched(t, l, "d1", 3)
	if _, err := executions.CancelExecution(ctx, &runpb.CancelExecutionRequest{Name: cancelled.Launch.Execution}); err != nil {
		t.Fatal(err)
	}
	s := await(t, l, func(s client.Snapshot) string {
		if n := len(s.Trainings); n == 1 && s.Trainings[0].State == training.Failed {
			return ""
		}
		return "the training goes on"
	})
	if says := s.Trainings[0].Failure; !strings.Contains(says, "cancelled") {
		t.Errorf("the training failed: %q", says)
	}
	r, err := tracking.New(l.Bucket(l.Models), time.Now).Run(ctx, cancelled.Run)
	if err != nil || r.Status != tracking.Failed || !strings.Contains(r.Tags[tracking.TagFailure], "cancelled") {
		t.Errorf("its run: %+v, %v", r, err)
	}
	letters, err := l.Letters(ctx, bus.Alerts, client.Treatment{})
	if err != nil || len(letters) != 1 {
		t.Fatalf("alerts: %+v, %v", letters, err)
	}
	var a event.AlertData
	if err := json.Unmarshal(letters[0].Data, &a); err != nil || a.Code != string(register.CodeTrainingFailed) || !strings.Contains(a.Message, cancelled.Run) {
		t.Errorf("alert %+v, %v", a, err)
	}

	ask(t, l, "d2")
	launched(t, l, "d2", 1)
}

// ask publishes the event that asks for a training.
func ask(t *testing.T, l *Loop, version string) {
	t.Helper()
	e, err := event.New(event.Train, time.Now(), event.TrainData{Dataset: version, Trigger: "manual"}, version)
	if err == nil {
		err = l.Publisher().Publish(t.Context(), bus.Train, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// launched waits until the training on a data set version has a job of the
// launch of that number, or of a later one.
func launched(t *testing.T, l *Loop, version string, number int) training.Training {
	t.Helper()
	s := await(t, l, func(s client.Snapshot) string {
		if n := len(s.Trainings); n == 0 || s.Trainings[n-1].Dataset != version || s.Trainings[n-1].Launch.Number < number || s.Trainings[n-1].Launch.Execution == "" {
			return "no job of the launch"
		}
		return ""
	})
	return s.Trainings[len(s.Trainings)-1]
}
