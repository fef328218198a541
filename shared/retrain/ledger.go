package retrain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// LedgerDir is where entries lie in the ledger bucket.
const LedgerDir = "ledger/"

// Entry is one evaluation, fired or not; ledger/ID.json.
type Entry struct {
	Schema     int       `json:"schema"`
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	PolicyHash string    `json:"policy_hash"`
	Policy     Policy    `json:"policy"`
	Inputs     Inputs    `json:"inputs"`
	Decision   Decision  `json:"decision"`
}

// newEntry builds the entry of a decision. Its ID is derived from the facts, the
// policy and the outcome, without the clock: the same question in the same
// situation is the same entry, however often it is asked.
func newEntry(p Policy, in Inputs, d Decision) Entry {
	facts := in
	facts.Now = time.Time{}
	b, err := json.Marshal(struct {
		Policy   string
		Inputs   Inputs
		Decision Decision
	}{p.Hash(), facts, d})
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(b)
	id := hex.EncodeToString(sum[:12])
	return Entry{Schema: 1, ID: id, Created: in.Now, PolicyHash: p.Hash(), Policy: p, Inputs: in, Decision: d}
}

// object is where entry id lies.
func object(id string) string { return LedgerDir + id + ".json" }

// decision is the entry's decision, with where it stands.
func (e Entry) decision() Decision {
	e.Decision.Ledger = e.ID
	return e.Decision
}

// record writes the entry, unless it stands already.
func record(ctx context.Context, b blob.Bucket, e Entry) error {
	_, err := blob.WriteJSON(ctx, b, object(e.ID), e, blob.Absent)
	if errors.Is(err, errs.Conflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write ledger entry %s: %w", e.ID, err)
	}
	telemetry.Decided(ctx, e.Decision.Trigger, string(e.Decision.Outcome))
	return nil
}

// ReadEntry returns an entry of the ledger; errs.NotFound when there is none.
func ReadEntry(ctx context.Context, b blob.Bucket, id string) (Entry, error) {
	var e Entry
	if _, err := blob.ReadJSON(ctx, b, object(id), &e); err != nil {
		return Entry{}, fmt.Errorf("ledger entry %s: %w", id, err)
	}
	return e, nil
}
