package service

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/browsertest"
)

// drop lets go of files over the page, as a person would.
func drop(t *testing.T, b *browsertest.Browser, files ...string) {
	t.Helper()
	var list []string
	for _, f := range files {
		kind := map[string]string{".jpg": "image/jpeg", ".png": "image/png"}[filepath.Ext(f)]
		list = append(list, fmt.Sprintf(`new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], %q, {type: %q})`,
			base64.StdEncoding.EncodeToString(read(t, testdata+f)), f, kind))
	}
	b.Eval(`{ const data = new DataTransfer();
		for (const f of [%s]) data.items.add(f);
		for (const kind of ["dragover", "drop"]) document.getElementById("drop").dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data})); }`, strings.Join(list, ","))
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
	b := browsertest.Open(t, s.url+"/")
	t.Run("a photo and the sliders", func(t *testing.T) { onePhoto(t, b, s) })
	t.Run("several photos", func(t *testing.T) { severalPhotos(t, b) })
	t.Run("no service", func(t *testing.T) {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		b.Eval(`show(photos[0]); document.getElementById("iou").value = 0.3; document.getElementById("iou").dispatchEvent(new Event("input"))`)
		b.Until(`document.getElementById("error").textContent.includes("cannot be reached")`)
	})
}

func onePhoto(t *testing.T, b *browsertest.Browser, s running) {
	b.Until(`document.getElementById("model").textContent.includes("7 classes")`)
	drop(t, b, "wide.jpg")
	want := s.detect(t, "?conf=0.25&iou=0.7", "image/jpeg", read(t, testdata+"wide.jpg"))
	b.Until(fmt.Sprintf(`%s === %d`, rowsShown, len(want.Detections)))
	if size := b.Eval(`canvas.width + "x" + canvas.height`); size != "310x200" {
		t.Errorf("the canvas is %s", size)
	}
	if b.Eval(inked) == "0" {
		t.Error("no box is drawn")
	}
	if text := b.Eval(`document.querySelector("#boxes tr").innerText`); !strings.Contains(text, want.Detections[0].Class) {
		t.Errorf("the first row says %q, want %s", text, want.Detections[0].Class)
	}
	b.Picture("try-one")

	before := b.Eval(inked)
	b.Eval(`document.getElementById("conf").focus()`)
	for range 20 { // from 0.25 to 0.45
		b.Press("ArrowRight", 39)
	}
	fewer := s.detect(t, "?conf=0.45&iou=0.7", "image/jpeg", read(t, testdata+"wide.jpg"))
	b.Until(fmt.Sprintf(`%s === %d`, rowsShown, len(fewer.Detections)))
	if out := b.Eval(`document.getElementById("confv").textContent`); out != "0.45" || len(fewer.Detections) >= len(want.Detections) {
		t.Errorf("the slider stands at %s: %d boxes, %d before", out, len(fewer.Detections), len(want.Detections))
	}
	if b.Eval(inked) == before {
		t.Error("the boxes drawn did not change")
	}
}

func severalPhotos(t *testing.T, b *browsertest.Browser) {
	drop(t, b, "turned.jpg", "make.py", "tall.jpg")
	b.Until(`document.querySelectorAll("#photos button b").length === 4`)
	if size := b.Eval(`canvas.width + "x" + canvas.height`); size != "160x240" { // as displayed
		t.Errorf("the turned photo's canvas is %s", size)
	}
	b.Picture("try-several")
	b.Eval(`document.querySelectorAll("#photos button")[2].focus()`) // by keyboard, to the one that is no photo
	b.Press("Enter", 13)
	b.Until(`document.getElementById("error").textContent.includes("make.py: ")`)
	if text := b.Eval(`document.getElementById("error").textContent`); !strings.Contains(text, "not a photo") || b.Eval(`document.getElementById("result").hidden`) != "true" {
		t.Errorf("the error says %q", text)
	}
	b.Picture("try-error")
}
