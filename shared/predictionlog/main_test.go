package predictionlog

import (
	"os"
	"testing"

	"github.com/parquet-go/parquet-go/compress/snappy"
)

// Zstandard's decoders live in a pool and hold channels: one that a synctest
// bubble made must not be met outside of it. Snappy has no such state. Files in
// Zstandard are read and written where the log is used.
func TestMain(m *testing.M) {
	codec = &snappy.Codec{}
	if spool := os.Getenv(spoolEnv); spool != "" {
		logAndStay(spool)
	}
	os.Exit(m.Run())
}
