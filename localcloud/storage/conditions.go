package storage

import (
	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// conditions reads ifGenerationMatch and its three sisters; infix "Source" reads
// those about a copy's source.
func conditions(get func(string) string, infix string) (c store.Conditions, err error) {
	for _, p := range []struct {
		name string
		to   **int64
	}{
		{"GenerationMatch", &c.GenerationMatch}, {"GenerationNotMatch", &c.GenerationNotMatch},
		{"MetagenerationMatch", &c.MetagenerationMatch}, {"MetagenerationNotMatch", &c.MetagenerationNotMatch},
	} {
		name := "if" + infix + p.name
		value := get(name)
		if value == "" {
			continue
		}
		n, err := parseInt64(name, value)
		if err != nil {
			return c, err
		}
		*p.to = &n
	}
	return c, nil
}

// generation reads the generation a request names; 0 is any.
func generation(get func(string) string, name string) (int64, error) {
	if value := get(name); value != "" {
		return parseInt64(name, value)
	}
	return 0, nil
}
