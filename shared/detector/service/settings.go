package service

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Setting is what an operator may set: by a variable of the environment, or by
// the flag of the same name.
type Setting struct {
	Name    string // of the variable
	Default string
	Help    string
}

// Flag is the setting's flag, without its dashes; "" where it has none, because
// arguments can be read by every user of the machine.
func (s Setting) Flag() string {
	if s.Name == "ADMIN_TOKEN" {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(s.Name), "_", "-")
}

// Settings are all of a service's, in the order of their use.
func Settings() []Setting {
	return []Setting{
		{"MODEL_URI", "", "models:/NAME@ALIAS, models:/NAME/3, gs://BUCKET/PACKAGE/, a directory, or an .onnx file"},
		{"MODELS_BUCKET", "$GOOGLE_CLOUD_PROJECT-models", "where models:/ are registered"},
		{"MODEL_REFRESH", "never", "how often the alias of MODEL_URI is read again; its new version is then served without a restart"},
		{"ADMIN_TOKEN", "", "16 characters or more that POST /v1/model asks for; without it nobody may"},
		{"HOST", "every interface", "address to listen on"},
		{"PORT", "8080", "port to listen on"},
		{"EXECUTION_PROVIDER", "cpu", "cpu, or cuda with a GPU build of ONNX Runtime"},
		{"WORKERS", "one a processor", "photos in work at once"},
		{"THREADS", "one a processor", "threads of a photo that is alone"},
		{"MAX_BODY_MB", "32", "larger bodies, and larger photos at URIs, are refused"},
		{"MAX_MEGAPIXELS", "100", "larger photos are refused"},
		{"MAX_IN_FLIGHT", "64", "more requests at once are refused with 429"},
		{"REQUEST_TIMEOUT", "1m", "of a request, its upload included; of a line in a batch by lines"},
		{"PHOTO_BUCKETS", "*", "buckets that gs:// photos may lie in, by comma"},
		{"PHOTO_HOSTS", "none", "hosts that https:// photos may lie on, by comma: images.example.com, *.example.com"},
		{"PREDICTION_LOG", "off", "gs://BUCKET, a directory, or off"},
		{"PREDICTION_LOG_FLUSH", "1m", "how long a prediction may wait to be written"},
		{"PREDICTION_LOG_SPOOL", "memory", "a directory for files while the bucket is away"},
		{"PREDICTION_LOG_PHOTO_SHARE", "0.01", "share of the photos that are kept, without EXIF"},
		{"PREDICTION_LOG_LOW_CONFIDENCE", "0.3", "photos are kept too when their best box is below it"},
		{"PREDICTION_LOG_PHOTO_CLASSES", "none", "photos are kept too when one of these classes, by comma, is on them"},
		{"PREDICTION_LOG_PHOTOS_PER_HOUR", "100", "but no more than these, an instance"},
	}
}

// FromFlags reads the configuration from arguments, and from the environment
// what they leave open; every fault of both is reported at once. flag.ErrHelp
// says that the arguments ask for help.
func FromFlags(args []string, getenv func(string) string) (Config, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	given := map[string]string{} // by name of the variable
	for _, s := range Settings() {
		if s.Flag() != "" {
			set.Func(s.Flag(), s.Help, func(v string) error { given[s.Name] = v; return nil })
		}
	}
	var faults []error
	for {
		err := set.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return Config{}, err
		}
		args = set.Args() // a fault's own argument is gone already
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if len(args) == 0 {
			break
		}
		faults = append(faults, fmt.Errorf("argument %q belongs to no flag", args[0]))
		args = args[1:]
	}
	c, err := readConfig(getenv, given)
	return c, errors.Join(append(faults, err)...)
}

// Help is the text for flag.ErrHelp.
func Help() string {
	var b strings.Builder
	b.WriteString("Serves an object detection model over HTTP. Each setting is a flag, or the\nvariable of the environment beside it; the flag goes first.\n\n")
	for _, s := range Settings() {
		name := s.Name
		if f := s.Flag(); f != "" {
			name = "--" + f + ", " + name
		}
		fmt.Fprintf(&b, "  %s\n        %s", name, s.Help)
		if s.Default != "" {
			fmt.Fprintf(&b, " (default: %s)", s.Default)
		}
		b.WriteString("\n")
	}
	return b.String()
}
