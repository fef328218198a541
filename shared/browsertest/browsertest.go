// Package browsertest drives a headless Chromium in tests of pages.
package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Browser is a headless Chromium, spoken to over its DevTools pipe.
type Browser struct {
	t       *testing.T
	out     *os.File
	in      *bufio.Reader
	id      int
	session string
}

// Open starts Chromium with a page that may reach this machine alone. The test is
// skipped where there is no Chromium.
func Open(t *testing.T, url string) *Browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine")
	}
	commandsOut, commandsIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answersOut, answersIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a page may never answer
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+profile, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1100,900",
		"--remote-debugging-pipe", "about:blank")
	c.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	c.ExtraFiles = []*os.File{commandsOut, answersIn} // 3 and 4
	if err := c.Start(); err != nil {
		t.Skip("Chromium does not start: ", err)
	}
	commandsOut.Close()
	answersIn.Close()
	b := &Browser{t: t, out: commandsIn, in: bufio.NewReader(answersOut)}
	t.Cleanup(func() {
		commandsIn.Close() // which ends it
		answersOut.Close()
		c.Wait()
		// Its helpers write into the profile for a moment longer.
		unix.Kill(-c.Process.Pid, unix.SIGKILL)
		os.RemoveAll(profile)
	})
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.Call("Runtime.enable", nil, nil)
	b.Call("Page.navigate", map[string]any{"url": url}, nil)
	b.Until(fmt.Sprintf(`document.readyState === "complete" && location.href === %q`, url))
	return b
}

// Call runs a method of the DevTools protocol. Exceptions that pages throw, and
// what they write to the console as errors, fail the test.
func (b *Browser) Call(method string, params, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

// try runs a method and returns what Chromium refuses it for.
func (b *Browser) try(method string, params, result any) error {
	b.t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method, "params": params}
	if params == nil {
		request["params"] = map[string]any{}
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	p, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(p, 0)); err != nil {
		b.t.Fatalf("%s: Chromium is gone: %v", method, err)
	}
	for {
		p, err := b.in.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: Chromium is gone: %v", method, err)
		}
		var m struct {
			ID             int
			Method         string
			Params, Result json.RawMessage
			Error          *struct{ Message string }
		}
		if err := json.Unmarshal(bytes.TrimRight(p, "\x00"), &m); err != nil {
			b.t.Fatal(err)
		}
		if m.Method == "Runtime.exceptionThrown" {
			b.t.Errorf("the page throws: %s", m.Params)
		}
		if m.ID != b.id {
			continue
		}
		if m.Error != nil {
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			return json.Unmarshal(m.Result, result)
		}
		return nil
	}
}

// Eval runs JavaScript in the page, waits for its promise, and returns its value
// as text.
func (b *Browser) Eval(js string, args ...any) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": fmt.Sprintf(js, args...), "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", js, r.ExceptionDetails)
	}
	return fmt.Sprint(r.Result.Value)
}

// Until asks until an expression is true. Meanwhile the page may be left for
// another.
func (b *Browser) Until(js string) {
	b.t.Helper()
	// While a page is being left there is nothing to ask, and Chromium says so at
	// once: how often it was asked tells nothing of the time that it had.
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-pause.C {
		var r struct{ Result struct{ Value any } }
		err := b.try("Runtime.evaluate", map[string]any{"expression": "!!(" + js + ")", "returnByValue": true}, &r)
		if err == nil && r.Result.Value == true {
			return
		}
	}
	b.t.Fatalf("never true: %s; the page says %s", js, b.Eval(`document.body.innerText`))
}

// Press sends a key to what has the focus.
func (b *Browser) Press(key string, code int) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		e := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" {
			e["text"] = "\r"
		}
		b.Call("Input.dispatchKeyEvent", e, nil)
	}
}

// Picture keeps a screenshot where SCREENSHOTS says; for looking at.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
