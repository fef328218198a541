package cloud

import (
	"regexp"
	"strings"
)

// remedies are what mends what Google Cloud and Terraform complain of; the first
// that is found in the words counts. P stands for the project, $1 for what the
// pattern found.
var remedies = []struct {
	words *regexp.Regexp
	mend  string
}{
	{regexp.MustCompile(`(?i)do not currently have an active account selected|gcloud auth login`), "gcloud auth login --update-adc   (gcloud's own account, which submits builds, beside that of other programs)"},
	{regexp.MustCompile(`(?i)requires a quota project`), "gcloud auth application-default set-quota-project P"},
	{regexp.MustCompile(`(?i)could not find default credentials|invalid_grant|reauth`), "gcloud auth application-default login"},
	{regexp.MustCompile(`(?i)Error acquiring the state lock(?:.|\n)*ID: +(\S+)`), "wait for who holds it; if nobody does: terraform -chdir=terraform force-unlock $1"},
	{regexp.MustCompile(`([a-z]+\.googleapis\.com) (?:API )?(?:has not been used|is not enabled)`), "gcloud services enable $1 --project P   (and a minute later the same command again)"},
	{regexp.MustCompile(`(?i)API has not been used|SERVICE_DISABLED|it is disabled`), "litterloop init --project P   (it names the API), and a minute later the same command again"},
	{regexp.MustCompile(`(?i)iam\.serviceaccounts\.actAs`), "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/iam.serviceAccountUser"},
	{regexp.MustCompile(`(?i)Permission '?([a-z]+\.[A-Za-z.]+)'? denied|does not have ([a-z]+\.[A-Za-z.]+) access`), "litterloop init --project P   (it names what you lack: $1$2)"},
	{regexp.MustCompile(`(?i)Quota exceeded|quota .*exceeded|RESOURCE_EXHAUSTED|Max allowed`), "ask for more: https://console.cloud.google.com/iam-admin/quotas?project=P, or lower max_instances, cpu or memory in terraform/envs/P.tfvars"},
	{regexp.MustCompile(`(?i)Error 409|already exists|alreadyExists|you already own it`), "it is there and not in the state: terraform -chdir=terraform import -var-file=envs/P.tfvars ADDRESS ID   (the address stands above; litterloop init --project P lists buckets)"},
	{regexp.MustCompile(`(?i)Error 404.*project|project.*not found|Unknown project`), "gcloud projects list   (and then --project ID)"},
	{regexp.MustCompile(`(?i)image '?(\S+?)'? not found|Image .* not found|manifest unknown`), "build the images: litterloop up --project P   (without --images-exist)"},
	{regexp.MustCompile(`(?i)bucket .*not empty|without .*force_destroy`), "litterloop destroy --project P --data   (deletes photos, models and logs too)"},
	{regexp.MustCompile(`(?i)retention policy|retentionPolicyNotMet`), "wait until the ledger's entries are old enough (retention.ledger_days); nobody can delete them before"},
	{regexp.MustCompile(`(?i)Failed to get existing workspaces|bucket doesn't exist`), "litterloop init --project P   (it makes the bucket of the state)"},
	{regexp.MustCompile(`(?i)Failed to (?:query available|install) provider`), "let Terraform reach its registry, or name a mirror in TF_CLI_CONFIG_FILE"},
	{regexp.MustCompile(`(?i)Error 403`), "litterloop init --project P   (it names the permission that you lack)"},
}

// Mend is the command that mends what an error complains of; empty when nobody
// knows.
func Mend(words, project string) string {
	for _, r := range remedies {
		if m := r.words.FindStringSubmatchIndex(words); m != nil {
			filled := string(r.words.ExpandString(nil, r.mend, words, m))
			return fill(filled, project)
		}
	}
	return ""
}

// word is the placeholder of the project.
var word = regexp.MustCompile(`\bP\b`)

func fill(mend, project string) string {
	return word.ReplaceAllLiteralString(strings.TrimSpace(mend), project)
}
