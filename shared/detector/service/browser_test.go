package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to over its DevTools pipe.
type browser struct {
	t       *testing.T
	out     *os.File
	in      *bufio.Reader
	id      int
	session string
}

// openBrowser starts Chromium with a page that may reach this machine alone.
func openBrowser(t *testing.T, url string) *browser {
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a page may never answer
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1100,900",
		"--remote-debugging-pipe", "about:blank")
	c.ExtraFiles = []*os.File{commandsOut, answersIn} // 3 and 4
	if err := c.Start(); err != nil {
		t.Skip("Chromium does not start: ", err)
	}
	commandsOut.Close()
	answersIn.Close()
	b := &browser{t: t, out: commandsIn, in: bufio.NewReader(answersOut)}
	t.Cleanup(func() {
		commandsIn.Close() // which ends it
		answersOut.Close()
		c.Wait()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Runtime.enable", nil, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(fmt.Sprintf(`document.readyState === "complete" && location.href === %q`, url))
	return b
}

// call runs a method of the DevTools protocol. Exceptions that pages throw, and
// what they write to the console as errors, fail the test.
func (b *browser) call(method string, params, result any) {
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
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// eval runs JavaScript in the page, waits for its promise, and returns its value
// as text.
func (b *browser) eval(js string, args ...any) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": fmt.Sprintf(js, args...), "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", js, r.ExceptionDetails)
	}
	return fmt.Sprint(r.Result.Value)
}

// until asks until an expression is true.
func (b *browser) until(js string) {
	b.t.Helper()
	for range 1000 {
		if b.eval(`!!(%s) || new Promise(r => setTimeout(r, 10))`, js) == "true" {
			return
		}
	}
	b.t.Fatalf("never true: %s; the page says %s", js, b.eval(`document.body.innerText`))
}

// press sends a key to what has the focus.
func (b *browser) press(key string, code int) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		e := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" {
			e["text"] = "\r"
		}
		b.call("Input.dispatchKeyEvent", e, nil)
	}
}

// drop lets go of files over the page, as a person would.
func (b *browser) drop(files ...string) {
	b.t.Helper()
	var list []string
	for _, f := range files {
		kind := map[string]string{".jpg": "image/jpeg", ".png": "image/png"}[filepath.Ext(f)]
		list = append(list, fmt.Sprintf(`new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], %q, {type: %q})`,
			base64.StdEncoding.EncodeToString(read(b.t, testdata+f)), f, kind))
	}
	b.eval(`{ const data = new DataTransfer();
		for (const f of [%s]) data.items.add(f);
		for (const kind of ["dragover", "drop"]) document.getElementById("drop").dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data})); }`, strings.Join(list, ","))
}

// picture keeps a screenshot where SCREENSHOTS says; for looking at.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// inked is how many pixels of the canvas differ from the photo itself.
const inked = `(() => {
	const c = document.getElementById("canvas"), plain = new OffscreenCanvas(c.width, c.height).getContext("2d");
	plain.drawImage(shown.bitmap, 0, 0, c.width, c.height);
	const a = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, p = plain.getImageData(0, 0, c.width, c.height).data;
	let n = 0;
	for (let i = 0; i < a.length; i += 4) n += a[i] !== p[i] || a[i + 1] !== p[i + 1] || a[i + 2] !== p[i + 2];
	return n;
})()`

const rowsShown = `document.querySelectorAll("#boxes tr").length`

// The page as a person meets it, in one browser, because its start takes
// longest.
func TestTryPage_inABrowser(t *testing.T) {
	s := start(t, nil)
	b := openBrowser(t, s.url+"/")
	t.Run("a photo and the sliders", func(t *testing.T) { onePhoto(t, b, s) })
	t.Run("several photos", func(t *testing.T) { severalPhotos(t, b) })
	t.Run("no service", func(t *testing.T) {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		b.eval(`show(photos[0]); document.getElementById("iou").value = 0.3; document.getElementById("iou").dispatchEvent(new Event("input"))`)
		b.until(`document.getElementById("error").textContent.includes("cannot be reached")`)
	})
}

func onePhoto(t *testing.T, b *browser, s running) {
	b.until(`document.getElementById("model").textContent.includes("7 classes")`)
	b.drop("wide.jpg")
	want := s.detect(t, "?conf=0.25&iou=0.7", "image/jpeg", read(t, testdata+"wide.jpg"))
	b.until(fmt.Sprintf(`%s === %d`, rowsShown, len(want.Detections)))
	if size := b.eval(`canvas.width + "x" + canvas.height`); size != "310x200" {
		t.Errorf("the canvas is %s", size)
	}
	if b.eval(inked) == "0" {
		t.Error("no box is drawn")
	}
	if text := b.eval(`document.querySelector("#boxes tr").innerText`); !strings.Contains(text, want.Detections[0].Class) {
		t.Errorf("the first row says %q, want %s", text, want.Detections[0].Class)
	}
	b.picture("try-one")

	before := b.eval(inked)
	b.eval(`document.getElementById("conf").focus()`)
	for range 20 { // from 0.25 to 0.45
		b.press("ArrowRight", 39)
	}
	fewer := s.detect(t, "?conf=0.45&iou=0.7", "image/jpeg", read(t, testdata+"wide.jpg"))
	b.until(fmt.Sprintf(`%s === %d`, rowsShown, len(fewer.Detections)))
	if out := b.eval(`document.getElementById("confv").textContent`); out != "0.45" || len(fewer.Detections) >= len(want.Detections) {
		t.Errorf("the slider stands at %s: %d boxes, %d before", out, len(fewer.Detections), len(want.Detections))
	}
	if b.eval(inked) == before {
		t.Error("the boxes drawn did not change")
	}
}

func severalPhotos(t *testing.T, b *browser) {
	b.drop("turned.jpg", "make.py", "tall.jpg")
	b.until(`document.querySelectorAll("#photos button b").length === 4`)
	if size := b.eval(`canvas.width + "x" + canvas.height`); size != "160x240" { // as displayed
		t.Errorf("the turned photo's canvas is %s", size)
	}
	b.picture("try-several")
	b.eval(`document.querySelectorAll("#photos button")[2].focus()`) // by keyboard, to the one that is no photo
	b.press("Enter", 13)
	b.until(`document.getElementById("error").textContent.includes("make.py: ")`)
	if text := b.eval(`document.getElementById("error").textContent`); !strings.Contains(text, "not a photo") || b.eval(`document.getElementById("result").hidden`) != "true" {
		t.Errorf("the error says %q", text)
	}
	b.picture("try-error")
}
