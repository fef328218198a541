package bustest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Emulator starts Google's Pub/Sub emulator and returns its address; it stops
// with the test. A machine without Java or without the emulator skips the test.
// PUBSUB_EMULATOR_JAR names the jar where the Cloud SDK does not have it.
func Emulator(t testing.TB) (addr string) {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no java on this machine: Google's Pub/Sub emulator is not compared")
	}
	jar := emulatorJar()
	if jar == "" {
		t.Skip("no Pub/Sub emulator on this machine (gcloud components install pubsub-emulator): it is not compared")
	}
	port := freePort(t)
	// The compiler's first tier alone: the tests are over before more pays off.
	cmd := exec.Command(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", jar, "--host=127.0.0.1", "--port="+strconv.Itoa(port))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the Pub/Sub emulator: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
	})
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "Server started, listening on") {
			go func() {
				for lines.Scan() { // keep the pipe empty
				}
			}()
			return "127.0.0.1:" + strconv.Itoa(port)
		}
	}
	t.Fatalf("the Pub/Sub emulator ended before it listened:\n%s", strings.Join(said, "\n"))
	return ""
}

func emulatorJar() string {
	if jar := os.Getenv("PUBSUB_EMULATOR_JAR"); jar != "" {
		return jar
	}
	const inSDK = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
	roots := []string{"/usr/lib/google-cloud-sdk"}
	if gcloud, err := exec.LookPath("gcloud"); err == nil {
		if real, err := filepath.EvalSymlinks(gcloud); err == nil {
			roots = append(roots, filepath.Dir(filepath.Dir(real)))
		}
	}
	for _, root := range roots {
		if jars, _ := filepath.Glob(filepath.Join(root, inSDK)); len(jars) > 0 {
			return jars[len(jars)-1]
		}
	}
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
