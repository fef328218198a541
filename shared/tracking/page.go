package tracking

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Page is which part of a search's results is wanted: at most Max of them from
// where Token, of the answer before, left off.
type Page struct {
	Max   int
	Token string
}

// Slice returns a page of all, and the token of the next; empty at the end.
func Slice[T any](all []T, p Page) (page []T, next string, err error) {
	offset, err := p.offset()
	if err != nil {
		return nil, "", err
	}
	begin := min(offset, len(all))
	end := min(begin+p.Max, len(all))
	if end < len(all) {
		next = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"offset": %d}`, end))
	}
	return all[begin:end], next, nil
}

func (p Page) offset() (int, error) {
	if p.Token == "" {
		return 0, nil
	}
	data, err := base64.StdEncoding.DecodeString(p.Token)
	if err != nil {
		return 0, fault.Invalid("Invalid page token, could not base64-decode")
	}
	var token struct{ Offset json.Number }
	if err := json.Unmarshal(data, &token); err != nil {
		return 0, fault.Invalid("Invalid page token, decoded value=%q", data)
	}
	n, err := token.Offset.Int64()
	if err != nil || n <= 0 {
		return 0, fault.Invalid("Invalid page token, parsed value=%s", data)
	}
	return int(min(n, 1<<40)), nil
}
