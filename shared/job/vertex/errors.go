package vertex

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/api/googleapi"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
)

// refusal says what mends a start that was refused.
func (l *Launcher) refusal(s job.Spec, j Job, err error) error {
	switch status(err) {
	case http.StatusNotFound:
		return l.missing(s, err)
	case http.StatusBadRequest:
		if ended(err) { // not of a job, but of the project: worth repeating
			break
		}
		return errs.Permanentf(job.CodeRefused, "Vertex AI does not take job %s in %s as the setting `vertex` has it (machine %s, %d of accelerator %q): mend it and `terraform apply`: %w",
			s.Job, l.parent, j.MachineType, j.AcceleratorCount, j.AcceleratorType, err)
	case http.StatusForbidden:
		// New grants take minutes to be in force, so this is worth repeating.
		return fmt.Errorf("this account may not start job %s in %s: it needs roles/aiplatform.user on the project and roles/iam.serviceAccountUser on %s, which `terraform apply` grants with the setting `vertex`: %w",
			s.Job, l.parent, j.ServiceAccount, err)
	case http.StatusTooManyRequests:
		return fmt.Errorf("the quota of job %s in %s is used up (custom_model_training_… of accelerator %q): wait, or ask for more on the project's quota page: %w",
			s.Job, l.parent, j.AcceleratorType, translate(err))
	}
	return translate(err)
}

func (l *Launcher) missing(s job.Spec, err error) error {
	setting := "vertex"
	if strings.HasSuffix(s.Job, "-ultralytics") {
		setting = "ultralytics"
	}
	return errs.Permanentf(job.CodeMissing, "job %s cannot be found by Vertex AI in %s: `terraform apply` with the setting `%s` makes what it needs: %w", s.Job, l.parent, setting, err)
}

// status is the HTTP status of an answer that is an error; 0 without an answer.
func status(err error) int {
	var answer *googleapi.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

// ended tells whether a call was refused for the state that something is in.
func ended(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusBadRequest && strings.Contains(answer.Body, "FAILED_PRECONDITION")
}

// translate gives answers the port's meaning.
func translate(err error) error {
	var unanswered *url.Error
	switch code := status(err); {
	case code == http.StatusNotFound:
		return fmt.Errorf("%w: %w", errs.NotFound, err)
	case code == http.StatusConflict, ended(err):
		return fmt.Errorf("%w: %w", errs.Conflict, err)
	case code == http.StatusTooManyRequests, code >= 500, errors.As(err, &unanswered), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	return err
}
