package cloud

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Terraform runs the root for one project.
type Terraform struct {
	Dir     string // the root module
	Project string
	Vars    []string // "name=value", beside the project's own file
	Stderr  io.Writer
}

// Progress is told of each step: how many changes are done, of how many, and
// what is being worked on.
type Progress func(done, total int, about string)

// Summary is what a run changed.
type Summary struct{ Add, Change, Remove int }

// tfvars is the file that `litterloop init` writes for the project.
func (t Terraform) tfvars() string { return filepath.Join("envs", t.Project+".tfvars") }

// Init prepares the root, with its state in the project's bucket.
func (t Terraform) Init(ctx context.Context) error {
	_, err := t.run(ctx, nil, "init", "-json", "-input=false", "-reconfigure", "-backend-config=bucket="+StateBucket(t.Project))
	return err
}

// Apply makes what is declared, or only targets where there are any.
func (t Terraform) Apply(ctx context.Context, progress Progress, targets ...string) (Summary, error) {
	args := append([]string{"apply", "-json", "-input=false", "-auto-approve"}, t.variables()...)
	for _, target := range targets {
		args = append(args, "-target="+target)
	}
	return t.run(ctx, progress, args...)
}

// Destroy unmakes it.
func (t Terraform) Destroy(ctx context.Context, progress Progress) (Summary, error) {
	return t.run(ctx, progress, append([]string{"destroy", "-json", "-input=false", "-auto-approve"}, t.variables()...)...)
}

// Output returns the root's outputs.
func (t Terraform) Output(ctx context.Context) (map[string]any, error) {
	out, err := t.command(ctx, "output", "-json").Output()
	if err != nil {
		return nil, fmt.Errorf("terraform output: %w", err)
	}
	var values map[string]struct{ Value any }
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("terraform output: %w", err)
	}
	outputs := map[string]any{}
	for name, v := range values {
		outputs[name] = v.Value
	}
	return outputs, nil
}

// Setting is a text in the project's own file.
func (t Terraform) Setting(name string) (string, error) {
	v, err := t.setting(name)
	switch {
	case err != nil:
		return "", err
	case v.IsNull():
		return "", fmt.Errorf("%s does not set %s", t.tfvars(), name)
	case v.Type() != cty.String:
		return "", fmt.Errorf("%s: %s is no text", t.tfvars(), name)
	}
	return v.AsString(), nil
}

// Sets tells whether the project's own file sets name to anything but null.
func (t Terraform) Sets(name string) (bool, error) {
	v, err := t.setting(name)
	return err == nil && !v.IsNull(), err
}

// setting is a value in the project's own file, null where it has none.
func (t Terraform) setting(name string) (cty.Value, error) {
	path := filepath.Join(t.Dir, t.tfvars())
	text, err := os.ReadFile(path)
	if err != nil {
		return cty.NilVal, err
	}
	f, diags := hclsyntax.ParseConfig(text, path, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	attributes, diags := f.Body.JustAttributes()
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	a := attributes[name]
	if a == nil {
		return cty.NullVal(cty.DynamicPseudoType), nil
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return v, nil
}

func (t Terraform) variables() []string {
	args := []string{"-var-file=" + t.tfvars()}
	for _, v := range t.Vars {
		args = append(args, "-var", v)
	}
	return args
}

func (t Terraform) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "terraform", args...)
	cmd.Dir = t.Dir
	cmd.Env = append(os.Environ(), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	// Asked to end, Terraform writes down what it has made so far.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	return cmd
}

// line is what is read of Terraform's machine-readable output; see
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui.
type line struct {
	Type    string `json:"type"`
	Message string `json:"@message"`
	Changes struct{ Add, Change, Remove int }
	Change  struct {
		Action   string
		Resource struct{ Addr string }
	}
	Hook struct {
		Resource struct{ Addr string }
	}
	Diagnostic struct{ Severity, Summary, Detail, Address string }
}

// run starts Terraform and follows what it says. The error is every fault that
// it told of, each with what mends it.
func (t Terraform) run(ctx context.Context, progress Progress, args ...string) (s Summary, err error) {
	cmd := t.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, fmt.Errorf("start terraform: %w", err)
	}
	var faults []string
	done, total := 0, 0
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var l line
		if json.Unmarshal(scanner.Bytes(), &l) != nil {
			continue // what is no JSON is for people
		}
		switch l.Type {
		case "planned_change":
			if l.Change.Action != "noop" && l.Change.Action != "read" {
				total++
			}
		case "apply_complete":
			done++
		case "change_summary":
			s = Summary(l.Changes)
			total = max(total, s.Add+s.Change+s.Remove)
		case "diagnostic":
			if l.Diagnostic.Severity == "error" {
				faults = append(faults, t.fault(l.Diagnostic.Summary, l.Diagnostic.Detail, l.Diagnostic.Address))
			}
			continue
		}
		if about := l.Hook.Resource.Addr; progress != nil && about != "" {
			progress(done, total, about)
		}
	}
	err = errors.Join(scanner.Err(), cmd.Wait())
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err == nil {
		return s, nil
	}
	slices.Sort(faults)
	faults = slices.Compact(faults)
	if text := strings.TrimSpace(stderr.String()); len(faults) == 0 && text != "" {
		faults = []string{text}
	}
	return s, fmt.Errorf("terraform %s: %w\n%s", args[0], err, strings.Join(faults, "\n"))
}

// fault is an error of Terraform's, with the command that mends it where that
// is known.
func (t Terraform) fault(summary, detail, address string) string {
	text := strings.TrimSpace(summary + "\n" + detail)
	if address != "" {
		text = address + ": " + text
	}
	text = "- " + strings.ReplaceAll(text, "\n", "\n  ")
	if mend := Mend(text, t.Project); mend != "" {
		text += "\n  mend it: " + mend
	}
	return text
}
