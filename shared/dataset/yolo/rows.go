package yolo

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// Row is an object: a box in shares of its photo's width and height, left and
// top being its corner.
type Row struct {
	Line       int
	Class      int
	X, Y, W, H float64
}

// Fault is a row that gives no box, or with Line 0 a file that gives none.
type Fault struct {
	Line int
	Code errs.Code
	Note string
}

// Codes of faults.
const (
	CodeRowBad   errs.Code = "label-row-bad"
	CodeFileBad  errs.Code = "label-file-bad"
	codeInfinite errs.Code = "box-not-finite"
	codeEmpty    errs.Code = "box-empty"
)

// ParseLabels reads a label file. A row is a class and a box (centre x, y,
// width, height), a box and a confidence, or a polygon, whose extent is the box;
// with keypoints it is a box, and what follows is passed over.
func ParseLabels(text []byte, keypoints bool) (rows []Row, faults []Fault) {
	lines, err := Lines(text)
	if err != nil {
		return nil, []Fault{{Code: CodeFileBad, Note: err.Error()}}
	}
	for i, line := range lines {
		if line == "" {
			continue
		}
		row, fault := parseRow(strings.Fields(line), keypoints)
		if fault.Code != "" {
			fault.Line = i + 1
			faults = append(faults, fault)
			continue
		}
		row.Line = i + 1
		rows = append(rows, row)
	}
	return rows, faults
}

// absurd is a share of a photo that no arithmetic should be done with.
const absurd = 1e12

func parseRow(fields []string, keypoints bool) (r Row, f Fault) {
	if len(fields) < 5 {
		return r, Fault{Code: CodeRowBad, Note: fmt.Sprintf("%d columns: a row has a class and four numbers, or a polygon", len(fields))}
	}
	class, ok := number(fields[0])
	if !ok || class != math.Trunc(class) || class < 0 || class >= maxClasses {
		return r, Fault{Code: CodeRowBad, Note: fmt.Sprintf("class %.40q is no class number", fields[0])}
	}
	r.Class = int(class)
	v := make([]float64, len(fields)-1)
	finite := true
	for i, field := range fields[1:] {
		if v[i], ok = number(field); !ok {
			return r, Fault{Code: CodeRowBad, Note: fmt.Sprintf("column %d, %.40q, is no number", i+2, field)}
		}
		finite = finite && math.Abs(v[i]) < absurd // false for NaN too
	}
	if !finite {
		return r, Fault{Code: codeInfinite, Note: strings.Join(fields[:5], " ")}
	}
	if len(v) <= 5 || keypoints {
		r.X, r.Y, r.W, r.H = v[0]-v[2]/2, v[1]-v[3]/2, v[2], v[3]
	} else {
		r.X, r.Y, r.W, r.H = extent(v[:len(v)&^1]) // an odd one is a confidence
	}
	if !(r.W > 0 && r.H > 0) {
		return r, Fault{Code: codeEmpty, Note: strings.Join(fields[:5], " ")}
	}
	return r, f
}

// number reads a number that may be too large for a float: it is infinite then.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || math.IsInf(f, 0)
}

func extent(points []float64) (x, y, w, h float64) {
	x, y = points[0], points[1]
	right, bottom := x, y
	for i := 2; i+1 < len(points); i += 2 {
		x, right = min(x, points[i]), max(right, points[i])
		y, bottom = min(y, points[i+1]), max(bottom, points[i+1])
	}
	return x, y, right - x, bottom - y
}
