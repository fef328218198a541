package tracking

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// pythonList is a list of strings as MLflow's messages show it.
func pythonList(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = "'" + s + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// pythonFloat is a number as MLflow's messages show it.
func pythonFloat(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e16 {
		return fmt.Sprintf("%.1f", v)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
