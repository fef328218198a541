package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
)

// Options of a detection, wherever they stand.
type Options struct {
	Conf        float64 `json:"conf,omitempty" query:"conf" default:"0.25" minimum:"0" maximum:"1" doc:"Return objects of a confidence above it"`
	IoU         float64 `json:"iou,omitempty" query:"iou" default:"0.7" minimum:"0" maximum:"1" doc:"Of two boxes of a class that overlap more, keep the better"`
	MaxDet      int     `json:"max_det,omitempty" query:"max_det" default:"300" minimum:"1" maximum:"30000" doc:"Return at most so many objects, the best"`
	Classes     []Class `json:"classes,omitempty" query:"classes" doc:"Return these classes alone, by id or by name" example:"[\"0\"]"`
	AgnosticNMS bool    `json:"agnostic_nms,omitempty" query:"agnostic_nms" doc:"Let boxes of different classes suppress each other"`
}

// defaults are the options that a request does not name.
func defaults() Options { return Options{Conf: 0.25, IoU: 0.7, MaxDet: 300} }

// DetectOptions are the options of a detection, and the form of its answer.
type DetectOptions struct {
	Options
	Annotate bool `json:"annotate,omitempty" query:"annotate" doc:"Answer the photo itself, its boxes drawn (JPEG, or PNG where Accept asks for that). Accept: image/jpeg or image/png does the same"`
}

// Class names a class: a number is its id, anything else its name.
type Class string

// UnmarshalJSON takes numbers and strings.
func (c *Class) UnmarshalJSON(p []byte) error {
	if bytes.HasPrefix(p, []byte(`"`)) {
		return json.Unmarshal(p, (*string)(c))
	}
	var id int
	if err := json.Unmarshal(p, &id); err != nil {
		return fmt.Errorf("a class is an id or a name: %w", err)
	}
	*c = Class(strconv.Itoa(id))
	return nil
}

// Schema documents both forms.
func (Class) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: "integer"}, {Type: "string"}}}
}

// id looks a class up in the model's.
func (c Class) id(classes []string) (int, error) {
	name := strings.TrimSpace(string(c))
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil // whether it exists, the query tells
	}
	if id := slices.Index(classes, name); id >= 0 {
		return id, nil
	}
	return 0, fmt.Errorf("class %q is none of the model's, which GET /v1/model lists", name)
}

// set reads an option from a form's field.
func (o *DetectOptions) set(name, value string) (err error) {
	switch name {
	case "conf":
		o.Conf, err = strconv.ParseFloat(value, 64)
	case "iou":
		o.IoU, err = strconv.ParseFloat(value, 64)
	case "max_det":
		o.MaxDet, err = strconv.Atoi(value)
	case "agnostic_nms":
		o.AgnosticNMS, err = strconv.ParseBool(value)
	case "annotate":
		o.Annotate, err = strconv.ParseBool(value)
	case "classes":
		o.Classes = nil
		for v := range strings.SplitSeq(value, ",") {
			o.Classes = append(o.Classes, Class(v))
		}
	default:
		return errs.Permanentf(bodyUnreadable, "form field %q is neither a photo nor an option (conf, iou, max_det, classes, agnostic_nms, annotate)", name)
	}
	if err != nil {
		return errs.Permanentf(bodyUnreadable, "form field %s=%q: %w", name, value, err)
	}
	return nil
}

// query are the options as a detector of these classes takes them, where zero
// means default.
func (o Options) query(classes []string) (detector.Query, error) {
	const aboveNothing = 1e-12
	if o.Conf == 0 {
		o.Conf = aboveNothing
	}
	if o.IoU == 0 {
		o.IoU = aboveNothing
	}
	q := detector.Query{Conf: o.Conf, IoU: o.IoU, MaxDet: o.MaxDet, AgnosticNMS: o.AgnosticNMS}
	var faults []error
	if o.MaxDet == 0 {
		faults = append(faults, errors.New("max_det is 0, not from 1 to 30000"))
	}
	for _, c := range o.Classes {
		id, err := c.id(classes)
		faults = append(faults, err)
		q.Classes = append(q.Classes, id)
	}
	if err := errors.Join(append(faults, q.Validate(len(classes)))...); err != nil {
		return q, errs.Permanent(detector.QueryInvalid, err)
	}
	return q, nil
}
