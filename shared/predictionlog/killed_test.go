package predictionlog

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
)

// spoolEnv has the test binary log rows into a spool, and stay.
const spoolEnv = "PREDICTIONLOG_TEST_SPOOL"

// logAndStay is the process that is killed: its bucket is away.
func logAndStay(spool string) {
	policy := DefaultPolicy()
	policy.FlushRows = 3
	l, err := NewLogger(&flaky{Bucket: blobmem.New("predictions"), away: true}, Options{Instance: "killed", Spool: spool, Policy: policy, Now: time.Now, Log: quiet})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := range 3 {
		l.Add(row(fmt.Sprint(i), noon), nil)
	}
	for len(spooledIn(spool)) == 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("spooled")
	select {}
}

// What lies in the spool of a process that kill -9 ended is written by the next.
func TestLogger_takesUpTheSpoolOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), spoolEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, _ := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if said != "spooled\n" {
		t.Fatalf("the process said %q", said)
	}
	b := blobmem.New("predictions")
	next := start(t, b, func(o *Options) { o.Spool, o.Instance = dir, "next" })
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, err := range Read(t.Context(), b, noon, noon.Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.ID)
	}
	if len(got) != 3 || len(spooledIn(dir)) != 0 {
		t.Errorf("the log holds %q, the spool %q; want three rows, and nothing", got, spooledIn(dir))
	}
}
