package cloud

import (
	"fmt"
	"regexp"
	"strings"
)

// causes are what keeps somebody from speaking to a deployment; the first that
// is found in an error's words counts. P stands for the project, $1 for what the
// pattern found.
var causes = []struct {
	words      *regexp.Regexp
	says, mend string
}{
	{regexp.MustCompile(`GOOGLE_APPLICATION_CREDENTIALS`), "GOOGLE_APPLICATION_CREDENTIALS names no file with credentials", "unset GOOGLE_APPLICATION_CREDENTIALS; gcloud auth application-default login"},
	{regexp.MustCompile(`(?i)could not find default credentials|computeMetadata|GCE metadata`), "there are no credentials on this machine", "gcloud auth application-default login"},
	{regexp.MustCompile(`(?i)invalid_grant|invalid_rapt|reauth|Unauthenticated|invalid authentication credentials|Error 401|answered 401`), "the credentials are not valid any more", "gcloud auth application-default login"},
	{regexp.MustCompile(`(?s)(?:has not been used in project|it is disabled|SERVICE_DISABLED).*?apis/(?:api|library)/([a-z]+\.googleapis\.com)`), "the project does not use $1 yet", "gcloud services enable $1 --project P   (and a minute later the same command again)"},
	{regexp.MustCompile(`([a-z]+\.googleapis\.com) (?:API )?has not been used`), "the project does not use $1 yet", "gcloud services enable $1 --project P   (and a minute later the same command again)"},
	{regexp.MustCompile(`(?i)bucket (?:does not|doesn't) exist|The specified bucket`), "the project has no bucket of the loop", "gcloud projects list   (is P yours?); litterloop up --project P   makes the loop there"},
	{regexp.MustCompile(`(?i)project.{0,60}(?:not found|does not exist|has been deleted)|Unknown project`), "there is no project P that you may see", "gcloud projects list   (and then --project ID)"},
	{regexp.MustCompile(`(storage\.(?:objects\.(?:create|delete|update)))`), "you lack $1", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/storage.objectUser"},
	{regexp.MustCompile(`(storage\.(?:buckets|objects)\.[a-zA-Z]+)`), "you lack $1", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/storage.objectViewer"},
	{regexp.MustCompile(`(run\.(?:services|revisions)\.[a-z]+)`), "you lack $1", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/run.viewer"},
	{regexp.MustCompile(`(monitoring\.timeSeries\.[a-z]+)`), "you lack $1", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/monitoring.viewer"},
	{regexp.MustCompile(`(?:read trace|list traces).*(?:Error 403|PERMISSION_DENIED)|cloudtrace\.traces\.`), "you may not read the project's traces", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/cloudtrace.user"},
	{regexp.MustCompile(`(?i)(pubsub\.subscriptions\.consume)|subscription.*not authorized|PermissionDenied.*subscription`), "you may not read the project's events", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/pubsub.subscriber"},
	{regexp.MustCompile(`the detector answered 40[13]`), "you may not ask the detector", "gcloud projects add-iam-policy-binding P --member user:YOU --role roles/run.invoker   (or name yourself in detector.invokers and apply)"},
	{regexp.MustCompile(`(?i)Resource not found \(resource=(dead-letters|alerts)\)|NotFound.*subscriptions`), "the project has no loop", "litterloop up --project P"},
	{regexp.MustCompile(`(?i)no such host|network is unreachable|connection refused|i/o timeout`), "Google Cloud cannot be reached", "check the network, HTTPS_PROXY and the endpoints in the environment"},
	{regexp.MustCompile(`(?i)PermissionDenied|Error 403|forbidden`), "something is not allowed", "litterloop doctor --project P   (it names what you lack)"},
}

// Explain says in one line what an error of a command that spoke to a project
// comes from, and the command that mends it; empty when nobody knows.
func Explain(words, project string) string {
	for _, c := range causes {
		m := c.words.FindStringSubmatch(words)
		if m == nil {
			continue
		}
		found := ""
		if len(m) > 1 {
			found = m[1]
		}
		named := strings.NewReplacer("$1", found)
		return fmt.Sprintf("%s; mend it: %s", fill(named.Replace(c.says), project), fill(named.Replace(c.mend), project))
	}
	return ""
}
