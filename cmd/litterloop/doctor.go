package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/onnxruntime/library"
)

type doctorCmd struct {
	Fix bool `help:"Fetch ONNX Runtime through pip or npm when it is missing."`
}

// finding is one thing that was checked.
type finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Must bool   `json:"needed"` // without it nothing works
	Says string `json:"says"`
	Mend string `json:"mend,omitempty"`
}

// Run checks every prerequisite; it fails when one that is needed is missing.
func (c *doctorCmd) Run(ctx context.Context, g *globals) error {
	if c.Fix {
		if err := ensureRuntime(ctx, progress.New(g.stderr)); err != nil {
			return err
		}
	}
	findings := []finding{checkRuntime(ctx), checkPhotos(), checkCompiler(), checkFetcher(), checkState(g.State), checkLoopback()}
	if g.Project != "" {
		settings := cloud.Terraform{Dir: "terraform", Project: g.Project}
		region, err := settings.Setting("region")
		if err != nil { // not written yet
			region = "europe-west1"
		}
		_, found := checkCloud(ctx, g.Project, region, settings, os.Getenv)
		findings = append(findings, found...)
	}
	return g.tell(findings)
}

// ensureRuntime fetches ONNX Runtime unless the machine has it.
func ensureRuntime(ctx context.Context, board *progress.Board) error {
	if _, err := library.Find(ctx, library.Options{}); err == nil {
		return nil
	}
	stage := board.Stage("fetch ONNX Runtime")
	lib, err := library.Fetch(ctx, library.Options{}, func(done, total int64) {
		stage.Set(int(done), int(total), "%.0f of %.0f MB", float64(done)/1e6, float64(total)/1e6)
	})
	if err != nil {
		stage.Fail(err)
		return err
	}
	stage.Done("%s", lib.Path)
	return nil
}

func checkRuntime(ctx context.Context) finding {
	f := finding{Name: "ONNX Runtime " + library.Version, Must: true, Mend: library.Mend}
	lib, err := library.Find(ctx, library.Options{})
	if err == nil {
		err = onnxruntime.Init()
	}
	if err != nil {
		f.Says = err.Error()
		return f
	}
	f.OK, f.Says = true, fmt.Sprintf("%s (%s), %s", lib.Path, lib.From, onnxruntime.Version())
	return f
}

func checkPhotos() finding {
	f := finding{Name: "JPEG decoder", OK: true, Says: imaging.Backend()}
	if imaging.Backend() != "libjpeg-turbo" {
		f.OK = false
		f.Says = "image/jpeg serves: about five times slower, and boxes can differ by fractions of a pixel from what other tools answer"
		f.Mend = map[string]string{"darwin": "brew install jpeg-turbo"}[runtime.GOOS]
		if f.Mend == "" {
			f.Mend = "apt-get install libturbojpeg0   (or your distribution's libjpeg-turbo)"
		}
	}
	return f
}

func checkCompiler() finding {
	return command("C compiler", false, "only needed to build", "apt-get install gcc libc6-dev", "cc", "gcc", "clang")
}

func checkFetcher() finding {
	return command("pip or npm", false, "only needed to fetch ONNX Runtime", "apt-get install python3-pip", "pip", "pip3", "npm")
}

func command(name string, must bool, says, mend string, any ...string) finding {
	for _, c := range any {
		if path, err := exec.LookPath(c); err == nil {
			return finding{Name: name, OK: true, Must: must, Says: path}
		}
	}
	return finding{Name: name, Must: must, Says: "not found; " + says, Mend: mend}
}

func checkState(dir string) finding {
	f := finding{Name: "state directory", Must: true, Says: dir, Mend: "litterloop --state DIR, with a directory that you may write"}
	parent := dir
	for {
		if info, err := os.Stat(parent); err == nil && info.IsDir() {
			break
		}
		if filepath.Dir(parent) == parent {
			return f
		}
		parent = filepath.Dir(parent)
	}
	probe, err := os.CreateTemp(parent, ".litterloop-probe-*")
	if err != nil {
		f.Says = err.Error()
		return f
	}
	f.OK = errors.Join(probe.Close(), os.Remove(probe.Name())) == nil
	return f
}

func checkLoopback() finding {
	f := finding{Name: "loopback network", Must: true, Mend: "allow this program to listen on 127.0.0.1"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Says = err.Error()
		return f
	}
	f.OK, f.Says = true, "127.0.0.1 can be listened on"
	l.Close()
	return f
}
