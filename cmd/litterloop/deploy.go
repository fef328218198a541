package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
)

// deployFlags are those of `up` that a project needs.
type deployFlags struct {
	Release     string `help:"With --project: tag of the images, and version of what runs (default: the commit)."`
	ImagesExist bool   `help:"With --project: the images of the release are in the registry; build none."`
	Terraform   string `help:"With --project: directory of the Terraform." default:"terraform" type:"path"`
	Yes         bool   `help:"With --project: do not ask."`
}

// foundation is what must be there before images can be built: where they go,
// who builds them, and what that needs.
var foundation = []string{
	"google_project_service.api", "google_artifact_registry_repository.images", "google_artifact_registry_repository_iam_member.grant",
	"google_project_iam_member.grant", "module.source",
}

// deploy makes in a project what Terraform declares, from nothing or from
// wherever the last run was cut off: every step may be done again.
func (c *deployFlags) deploy(ctx context.Context, g *globals) (err error) {
	root := filepath.Dir(c.Terraform)
	settings := filepath.Join(c.Terraform, "envs", g.Project+".tfvars")
	if _, err := os.Stat(settings); err != nil {
		return fmt.Errorf("%s is missing: run `litterloop init --project %s` first", settings, g.Project)
	}
	tf := cloud.Terraform{Dir: c.Terraform, Project: g.Project, Stderr: g.stderr}
	region, err := tf.Setting("region")
	if err != nil {
		return err
	}
	_, findings := checkCloud(ctx, g.Project, region, tf, os.Getenv)
	for _, f := range findings {
		if f.Must && !f.OK {
			return fmt.Errorf("%s: %s; mend it: %s", f.Name, f.Says, f.Mend)
		}
	}
	if c.Release == "" {
		if c.Release, err = commit(ctx, root); err != nil {
			return err
		}
	}
	if err := g.confirm(c.Yes, fmt.Sprintf("Deploy %s to %s? What it costs: `litterloop cost`. [y/N] ", c.Release, g.Project), "y"); err != nil {
		return err
	}
	zip, err := filepath.Abs(filepath.Join(root, "build", "functions.zip"))
	if err != nil {
		return err
	}
	tf.Vars = []string{"release=" + c.Release, "function_source=" + zip, "delivery_account=true"}
	board := progress.New(g.stderr)
	defer board.Close()

	if err := step(board, "pack the functions", func(s *progress.Stage) (string, error) {
		n, err := cloud.SourceIn(ctx, zip, root)
		return fmt.Sprintf("%d files", n), err
	}); err != nil {
		return err
	}
	if err := step(board, "prepare Terraform", func(*progress.Stage) (string, error) {
		return "state in gs://" + cloud.StateBucket(g.Project), tf.Init(ctx)
	}); err != nil {
		return err
	}
	if !c.ImagesExist {
		if err := step(board, "lay the foundation", apply(ctx, tf, foundation...)); err != nil {
			return err
		}
		if err := step(board, "build the images", func(*progress.Stage) (string, error) { return c.Release, c.build(ctx, root, region, tf, g) }); err != nil {
			return err
		}
	}
	if err := step(board, "make the loop", apply(ctx, tf)); err != nil {
		return err
	}
	out, err := tf.Output(ctx)
	if err != nil {
		return err
	}
	return g.answer(out, func(w io.Writer) {
		fmt.Fprintf(w, "\nThe loop is up in %s.\n\n", g.Project)
		fmt.Fprintf(w, "  drop photos   litterloop drop DIR --project %s\n", g.Project)
		fmt.Fprintf(w, "  watch         litterloop status --project %s\n", g.Project)
		fmt.Fprintf(w, "  detector      %v   (answers once the first model is deployed)\n", out["detector_uri"])
		fmt.Fprintf(w, "  tracking      %v\n", out["tracking_uri"])
		fmt.Fprintf(w, "  take it down  litterloop destroy --project %s\n", g.Project)
	})
}

func step(board *progress.Board, name string, do func(*progress.Stage) (string, error)) error {
	stage := board.Stage(name)
	note, err := do(stage)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			stage.Fail(err)
			return err
		}
		stage.Fail(errors.New("see below")) // it may be many lines
		return fmt.Errorf("%s: %w", name, err)
	}
	stage.Done("%s", note)
	return nil
}

func apply(ctx context.Context, tf cloud.Terraform, targets ...string) func(*progress.Stage) (string, error) {
	return func(stage *progress.Stage) (string, error) {
		s, err := tf.Apply(ctx, func(done, total int, about string) { stage.Set(done, total, "%d of %d, %s", done, total, about) }, targets...)
		return fmt.Sprintf("%d made, %d changed, %d removed", s.Add, s.Change, s.Remove), err
	}
}

// build has Cloud Build make and push the images that the settings ask for.
func (c *deployFlags) build(ctx context.Context, root, region string, tf cloud.Terraform, g *globals) error {
	substitutions := "_REGION=" + region + ",_RELEASE=" + c.Release
	if err := c.submit(ctx, root, g, region, "cloudbuild.yaml", "_DEPLOY=no,"+substitutions); err != nil {
		return err
	}
	large, err := tf.Sets("ultralytics")
	vertex, other := tf.Sets("vertex") // whose jobs are that image's by default
	if err := errors.Join(err, other); err != nil || !large && !vertex {
		return err
	}
	return c.submit(ctx, root, g, region, "models/ultralytics/cloudbuild.yaml", substitutions)
}

// submit has Cloud Build do what a file of the repository says.
func (c *deployFlags) submit(ctx context.Context, root string, g *globals, region, config, substitutions string) error {
	cmd := exec.CommandContext(ctx, "gcloud", "builds", "submit", root, "--quiet", "--project", g.Project, "--region", region,
		"--config", filepath.Join(root, filepath.FromSlash(config)), "--substitutions", substitutions)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		if mend := cloud.Mend(text, g.Project); mend != "" {
			text += "\nmend it: " + mend
		}
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// commit is the checked-out commit, as a release.
func commit(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("which commit is this? %w; name the release with --release", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// confirm asks, unless told not to, and wants the answer word for word.
func (g *globals) confirm(yes bool, question, want string) error {
	if yes {
		return nil
	}
	fmt.Fprint(g.stderr, question)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !strings.EqualFold(strings.TrimSpace(answer), want) {
		return errors.New("nothing was done; --yes does not ask")
	}
	return nil
}
