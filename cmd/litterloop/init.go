package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
)

type initCmd struct {
	Region      string   `help:"Where everything runs and lies." default:"europe-west1"`
	Model       string   `help:"Name of the model that is trained and served." default:"litter"`
	Environment string   `help:"Sizes to begin with." enum:"dev,prod" default:"dev"`
	Email       []string `help:"Who is told when an alert fires."`
	Github      string   `help:"Repository whose main branch may deliver." placeholder:"OWNER/NAME"`
	Terraform   string   `help:"Directory of the Terraform." default:"terraform" type:"existingdir"`
	Check       bool     `help:"Check alone; make and write nothing."`
}

// Run checks what a project needs, and writes down its settings for Terraform.
// It fails when something that is needed is missing; what is there stays.
func (c *initCmd) Run(ctx context.Context, g *globals) error {
	if g.Project == "" {
		return errors.New("name the project with --project; `gcloud projects list` shows yours")
	}
	settings := filepath.Join(c.Terraform, "envs", g.Project+".tfvars")
	sizes := cloud.Terraform{Dir: c.Terraform, Project: g.Project}
	if _, err := os.Stat(settings); err != nil {
		sizes.Project = c.Environment // what they will be made from
	}
	api, findings := checkCloud(ctx, g.Project, c.Region, sizes, os.Getenv)
	if err := g.tell(findings); err != nil || c.Check {
		return err
	}
	made, err := api.MakeStateBucket(ctx, g.Project, c.Region)
	if err != nil {
		return err
	}
	written, err := c.write(settings, g.Project)
	if err != nil {
		return err
	}
	fmt.Fprintln(g.stderr)
	if made {
		fmt.Fprintf(g.stderr, "made      gs://%s for Terraform's state\n", cloud.StateBucket(g.Project))
	}
	if written {
		fmt.Fprintf(g.stderr, "written   %s: the deployment's settings, yours to change and to commit\n", settings)
	} else {
		fmt.Fprintf(g.stderr, "kept      %s\n", settings)
	}
	fmt.Fprintf(g.stderr, "next      litterloop up --project %s\n", g.Project)
	return nil
}

// write makes the project's settings from those of the environment; a file that
// is there belongs to people.
func (c *initCmd) write(path, project string) (written bool, err error) {
	sizes, err := os.ReadFile(filepath.Join(c.Terraform, "envs", c.Environment+".tfvars"))
	if err != nil {
		return false, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The deployment in %s, by `litterloop init`; terraform/variables.tf says what else there is.\n", project)
	fmt.Fprintf(&b, "project = %q\nregion  = %q\nmodel   = %q\n", project, c.Region, c.Model)
	if len(c.Email) > 0 {
		fmt.Fprintf(&b, "\nalert_emails = [%s]\n", quoted(c.Email))
	}
	if c.Github != "" {
		fmt.Fprintf(&b, "\ngithub_repository = %q\n", c.Github)
	}
	fmt.Fprintf(&b, "\n%s", sizes)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.Write(b.Bytes())
	return true, errors.Join(err, f.Close())
}

func quoted(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, fmt.Sprintf("%q", s))
	}
	return strings.Join(q, ", ")
}

// checkCloud checks the tools, the credentials, and the project with them; sizes
// has the settings whose quotas are looked at.
func checkCloud(ctx context.Context, project, region string, sizes cloud.Terraform, getenv func(string) string) (cloud.API, []finding) {
	checked := cloud.CheckTools(ctx)
	if getenv("GOOGLE_OAUTH_ACCESS_TOKEN") == "" { // which gcloud does not use
		checked = append(checked, cloud.CheckAccount(ctx))
	}
	credentials := cloud.Finding{Name: "credentials", Must: true, Mend: "gcloud auth application-default login"}
	client, err := signed(ctx, getenv)
	if err != nil {
		credentials.Says = err.Error()
	} else {
		credentials.OK, credentials.Says = true, "application default"
	}
	checked = append(checked, credentials)
	api := cloud.APIFromEnv(client, getenv)
	if err == nil {
		checked = append(checked, api.CheckProject(ctx, project)...)
		if needs, err := sizes.Needs(); err != nil {
			checked = append(checked, cloud.Finding{Name: "settings", Must: true, Says: err.Error(), Mend: "terraform -chdir=" + sizes.Dir + " validate"})
		} else {
			checked = append(checked, api.CheckQuotas(ctx, project, region, needs)...)
		}
	}
	var findings []finding
	for _, f := range checked {
		findings = append(findings, finding{Name: f.Name, OK: f.OK, Must: f.Must, Says: f.Says, Mend: f.Mend})
	}
	return api, findings
}

// signed signs requests as Terraform's provider does: with the token in the
// environment, else with application default credentials.
func signed(ctx context.Context, getenv func(string) string) (*http.Client, error) {
	if token := getenv("GOOGLE_OAUTH_ACCESS_TOKEN"); token != "" {
		return oauth2.NewClient(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})), nil
	}
	source, err := google.DefaultTokenSource(ctx, "https://www.googleapis.com/auth/cloud-platform")
	if err == nil {
		_, err = source.Token()
	}
	if err != nil {
		return nil, err
	}
	return oauth2.NewClient(ctx, source), nil
}

// tell prints findings; it fails when one that is needed is missing.
func (g *globals) tell(findings []finding) error {
	sick := 0
	for _, f := range findings {
		if f.Must && !f.OK {
			sick++
		}
	}
	err := g.answer(map[string]any{"healthy": sick == 0, "findings": findings}, func(w io.Writer) {
		for _, f := range findings {
			mark := "ok     "
			if !f.OK && f.Must {
				mark = "MISSING"
			} else if !f.OK {
				mark = "could be better"
			}
			fmt.Fprintf(w, "%-16s %-22s %s\n", mark, f.Name, f.Says)
			if !f.OK && f.Mend != "" {
				fmt.Fprintf(w, "%-16s %-22s mend it: %s\n", "", "", f.Mend)
			}
		}
	})
	if err == nil && sick > 0 {
		err = fmt.Errorf("%d of %d prerequisites are missing", sick, len(findings))
	}
	return err
}
