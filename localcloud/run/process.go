package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/google/uuid"
)

// processes starts children that do not outlive this process, even when it is
// killed -9, and remembers them on disk for the systems where the kernel does
// not see to that, and for their own children.
type processes struct {
	dir    string
	log    *slog.Logger
	starts chan start
	quit   chan struct{}
}

type start struct {
	cmd  *exec.Cmd
	done chan error
}

// record names a running process: a number alone may meanwhile belong to
// another one, so its start time goes along.
type record struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

func newProcesses(dir string, log *slog.Logger) (*processes, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("process records: %w", err)
	}
	p := &processes{dir: dir, log: log, starts: make(chan start), quit: make(chan struct{})}
	if err := p.reap(); err != nil {
		return nil, err
	}
	go p.serve()
	return p, nil
}

// reap kills what a predecessor left running.
func (p *processes) reap() error {
	paths, err := filepath.Glob(filepath.Join(p.dir, "*.json"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("process records: %w", err)
		}
		var r record
		if json.Unmarshal(data, &r) == nil && r.PID > 1 && r.Started != "" && startTime(r.PID) == r.Started {
			p.log.Warn("killing a process left by a predecessor", "name", r.Name, "pid", r.PID)
			syscall.Kill(-r.PID, syscall.SIGKILL)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("process records: %w", err)
		}
	}
	return nil
}

// serve starts every child from one thread: the kernel sends the death signal
// when the thread that started a child ends, not the process, so that thread
// must live as long as the process does.
func (p *processes) serve() {
	runtime.LockOSThread()
	for {
		select {
		case s := <-p.starts:
			s.done <- s.cmd.Start()
		case <-p.quit:
			return
		}
	}
}

// close kills, on Linux, whatever still runs: the thread ends.
func (p *processes) close() { close(p.quit) }

// maxLog is the size at which a log is put aside when its process starts anew.
const maxLog = 16 << 20

// command is a child to start.
type command struct {
	name string // of the resource it runs for
	argv []string
	env  []string
	dir  string
	log  string // file that stdout and stderr are appended to
}

type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended, once exited is closed
}

// start runs c in a process group of its own.
func (p *processes) start(c command) (*process, error) {
	if err := os.MkdirAll(filepath.Dir(c.log), 0o755); err != nil {
		return nil, err
	}
	if fi, err := os.Stat(c.log); err == nil && fi.Size() > maxLog {
		if err := os.Rename(c.log, c.log+".old"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env, cmd.Dir = c.env, c.dir
	// The file itself, not a pipe: a child that outlives us must not die of
	// its log, and nothing is lost with us.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	s := start{cmd, make(chan error, 1)}
	select {
	case p.starts <- s:
	case <-p.quit:
		return nil, errClosed
	}
	if err := <-s.done; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	path := filepath.Join(p.dir, uuid.NewString()+".json")
	r, err := json.Marshal(record{c.name, cmd.Process.Pid, startTime(cmd.Process.Pid)})
	if err == nil {
		err = renameio.WriteFile(path, r, 0o644)
	}
	proc := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		proc.err = cmd.Wait()
		// What the child itself started goes with it.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		os.Remove(path)
		close(proc.exited)
	}()
	if err != nil {
		proc.stop(0)
		return nil, fmt.Errorf("record %s: %w", c.name, err)
	}
	return proc, nil
}

// stop asks the process to end, kills it after grace, and waits for its end.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		p.cmd.Process.Signal(syscall.SIGTERM)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.exited:
			return
		case <-t.C:
		}
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// outcome says how an exited process ended: nil for exit status 0.
func (p *process) outcome() error {
	var ee *exec.ExitError
	if errors.As(p.err, &ee) {
		return fmt.Errorf("the container ended: %s", ee.ProcessState)
	}
	return p.err
}
