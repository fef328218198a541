package cloud

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Need is what a deployment may use at once of something that Google limits for
// a project and region.
type Need struct {
	Metric string // Service Usage's name of the quota, of Cloud Run
	What   string
	Amount float64
	Unit   float64 // of the quota, for one of Amount
	Must   bool    // an apply fails without; else only the busiest hour does
}

// Metrics of Cloud Run's quotas.
const (
	quotaCPU = "run.googleapis.com/cpu_allocation" // thousandths of a processor
	quotaL4  = "run.googleapis.com/nvidia_l4_gpu_allocation_no_zonal_redundancy"
	quotaRTX = "run.googleapis.com/nvidia_rtx_pro_6000_gpu_allocation_no_zonal_redundancy" // thousandths of a GPU
)

// Needs are those of the project's own settings, or where there are none of
// what terraform/variables.tf has by default.
func (t Terraform) Needs() ([]Need, error) {
	detector, err := t.object("detector")
	if err != nil {
		return nil, err
	}
	trainer, err := t.object("trainer")
	if err != nil {
		return nil, err
	}
	ultralytics, err := t.object("ultralytics")
	if err != nil {
		return nil, err
	}
	// The metrics collector beside the detector has a processor of its own.
	cpu := number(detector, "max_instances", 10)*(number(detector, "cpu", 2)+1) + number(trainer, "cpu", 8)
	needs := []Need{{Metric: quotaCPU, What: "processors at once (max_instances of the detector, and a training)", Amount: cpu, Unit: 1000}}
	switch gpu := ultralytics["gpu"]; {
	case gpu == cty.NilVal || gpu.IsNull() || gpu.Type() != cty.String:
	case gpu.AsString() == "nvidia-l4":
		needs = append(needs, Need{quotaL4, "L4 GPU for trainings", 1, 1, true})
	case gpu.AsString() == "nvidia-rtx-pro-6000":
		needs = append(needs, Need{quotaRTX, "RTX PRO 6000 GPU for trainings", 1, 1000, true})
	}
	return needs, nil
}

// object is an object in the project's own file; empty where it has none.
func (t Terraform) object(name string) (map[string]cty.Value, error) {
	v, err := t.setting(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil || v.IsNull() || !v.Type().IsObjectType() {
		return nil, err
	}
	return v.AsValueMap(), nil
}

// number is an attribute that is a number, or a text that holds one.
func number(object map[string]cty.Value, name string, fallback float64) float64 {
	v, ok := object[name]
	if !ok || v.IsNull() {
		return fallback
	}
	var n float64
	switch v.Type() {
	case cty.Number:
		n, _ = v.AsBigFloat().Float64()
	case cty.String:
		if _, err := fmt.Sscanf(v.AsString(), "%g", &n); err != nil {
			return fallback
		}
	default:
		return fallback
	}
	return n
}

// CheckQuotas compares needs with what Cloud Run lets the project have in
// region. It finds nothing before Cloud Run's API is enabled, as the quotas do
// not exist then; they are checked again by everyone who asks later.
func (a API) CheckQuotas(ctx context.Context, project, region string, needs []Need) []Finding {
	limits := map[string]float64{}
	url := strings.Replace(a.ServiceUsage, "/v1/", "/v1beta1/", 1) + "projects/" + project + "/services/run.googleapis.com/consumerQuotaMetrics?view=FULL&pageSize=100"
	for page := ""; ; {
		var l struct {
			Metrics []struct {
				Metric              string
				ConsumerQuotaLimits []struct {
					QuotaBuckets []struct {
						EffectiveLimit float64 `json:",string"`
						Dimensions     struct{ Region string }
					}
				}
			}
			NextPageToken string
		}
		err := a.call(ctx, http.MethodGet, url+page, nil, &l)
		if code(err) != 0 { // what is missing for it is another check's finding
			return nil
		}
		if err != nil {
			return []Finding{{Name: "quotas", Says: err.Error(), Mend: quotaPage(project)}}
		}
		for _, m := range l.Metrics {
			for _, limit := range m.ConsumerQuotaLimits {
				for _, b := range limit.QuotaBuckets {
					// A bucket without a region holds for those that have none of their own.
					if _, own := limits[m.Metric]; b.Dimensions.Region == region || b.Dimensions.Region == "" && !own {
						limits[m.Metric] = b.EffectiveLimit
					}
				}
			}
		}
		if l.NextPageToken == "" {
			break
		}
		page = "&pageToken=" + l.NextPageToken
	}
	var findings []Finding
	for _, n := range needs {
		limit, known := limits[n.Metric]
		if !known {
			continue
		}
		f := Finding{Name: "quota", Must: n.Must, OK: limit < 0 || limit >= n.Amount*n.Unit, Mend: quotaPage(project)}
		f.Says = fmt.Sprintf("%g %s: %s allows %g in %s", n.Amount, n.What, n.Metric, limit/n.Unit, region)
		if limit < 0 {
			f.Says = fmt.Sprintf("%g %s: %s has no limit", n.Amount, n.What, n.Metric)
		}
		findings = append(findings, f)
	}
	return findings
}

func quotaPage(project string) string {
	return fmt.Sprintf("ask for more: https://console.cloud.google.com/iam-admin/quotas?project=%s   (or lower max_instances, cpu or gpu in terraform/envs/%[1]s.tfvars)", project)
}
