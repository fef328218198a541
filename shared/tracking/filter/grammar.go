package filter

import (
	"maps"
	"slices"
	"strings"
)

// set of names; it prints as MLflow prints its own.
type set map[string]bool

func of(names ...string) set {
	s := set{}
	for _, n := range names {
		s[n] = true
	}
	return s
}

// String implements fmt.Stringer.
func (s set) String() string {
	return "{'" + strings.Join(slices.Sorted(maps.Keys(s)), "', '") + "'}"
}

// Grammar is what the filters of one kind of subject may name.
type Grammar struct {
	Entities      map[string]Entity // by the names they may be written with
	Attributes    set               // that may be compared
	Orders        set               // attributes that may be ordered by
	OrderEntities map[Entity]bool
	Numbers       set // attributes that are numbers
	Lists         set // attributes that may be IN a list
	Aliases       map[string]string
	Null          map[Entity]bool // what may be asked whether it is there
	QuotedNumbers bool            // '7' is a number too
	IDs           set             // attributes that are equal or not, but not LIKE
}

var (
	numbers     = of("=", "!=", "<", "<=", ">", ">=")
	texts       = of("=", "!=", "LIKE", "ILIKE")
	listed      = of("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
	ids         = of("=", "!=", "IN", "NOT IN")
	datasetKeys = of("name", "digest", "context")
)

func (g Grammar) operators(c Clause) set {
	switch {
	case c.Numeric:
		return numbers
	case c.List != nil:
		return of("IN", "NOT IN")
	case c.Entity == Attribute && g.IDs[c.Key]:
		return ids
	case c.Entity == Attribute && g.Lists[c.Key], c.Entity == Data:
		return without(listed)
	}
	return texts
}

// without lists: IN needs one.
func without(s set) set {
	rest := maps.Clone(s)
	delete(rest, "IN")
	delete(rest, "NOT IN")
	return rest
}

func (g Grammar) entityNames() string {
	all := set{}
	for n := range g.Entities {
		all[n] = true
	}
	return all.String()
}

// Runs is the grammar of searches of runs.
var Runs = Grammar{
	Entities: map[string]Entity{
		"metric": Metric, "metrics": Metric, "parameter": Param, "parameters": Param, "param": Param, "params": Param,
		"tag": Tag, "tags": Tag, "attribute": Attribute, "attributes": Attribute, "attr": Attribute, "run": Attribute,
		"dataset": Data, "datasets": Data,
	},
	Attributes: of("run_id", "run_name", "status", "user_id", "artifact_uri", "start_time", "end_time",
		"created", "Created", "run name", "Run name", "Run Name"),
	Orders:        of("run_id", "run_name", "status", "user_id", "artifact_uri", "start_time", "end_time", "created", "Created"),
	OrderEntities: map[Entity]bool{Metric: true, Param: true, Tag: true, Attribute: true},
	Numbers:       of("start_time", "end_time"),
	Lists:         of("run_id"),
	Aliases:       map[string]string{"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name"},
	Null:          map[Entity]bool{Param: true, Tag: true},
}

var tagged = map[string]Entity{"attribute": Attribute, "tag": Tag, "tags": Tag}

// Experiments is the grammar of searches of experiments.
var Experiments = Grammar{
	Entities:      tagged,
	Attributes:    of("name", "experiment_id", "creation_time", "last_update_time"),
	Orders:        of("name", "experiment_id", "creation_time", "last_update_time"),
	OrderEntities: map[Entity]bool{Attribute: true},
	Numbers:       of("creation_time", "last_update_time"),
	Lists:         of("experiment_id"),
	IDs:           of("experiment_id"),
	Null:          map[Entity]bool{Tag: true},
}

// Models is the grammar of searches of registered models.
var Models = Grammar{
	Entities:      tagged,
	Attributes:    of("name"),
	Orders:        of("name", "creation_timestamp", "last_updated_timestamp", "timestamp"),
	OrderEntities: map[Entity]bool{Attribute: true},
	Aliases:       map[string]string{"timestamp": "last_updated_timestamp"},
	Lists:         of("name"),
}

// Versions is the grammar of searches of model versions.
var Versions = Grammar{
	Entities:      tagged,
	Attributes:    of("name", "version_number", "run_id", "source_path"),
	Orders:        of("name", "version_number", "creation_timestamp", "last_updated_timestamp"),
	OrderEntities: map[Entity]bool{Attribute: true},
	Numbers:       of("version_number"),
	QuotedNumbers: true,
	Lists:         of("name", "run_id"),
}

// LoggedModels is the grammar of searches of logged models.
var LoggedModels = Grammar{
	Entities: map[string]Entity{"metrics": Metric, "params": Param, "tags": Tag, "attributes": Attribute},
	Attributes: of("name", "model_id", "model_type", "status", "source_run_id", "experiment_id", "artifact_location",
		"creation_timestamp", "creation_time", "creation_timestamp_ms", "last_updated_timestamp", "last_updated_time", "last_updated_timestamp_ms"),
	Orders: of("name", "model_id", "model_type", "status", "source_run_id", "experiment_id",
		"creation_timestamp", "creation_time", "creation_timestamp_ms", "last_updated_timestamp", "last_updated_time", "last_updated_timestamp_ms"),
	OrderEntities: map[Entity]bool{Attribute: true, Metric: true},
	Numbers:       of("creation_timestamp", "last_updated_timestamp"),
	QuotedNumbers: true,
	Aliases: map[string]string{"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp",
		"last_updated_time": "last_updated_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp"},
	Lists: of("name", "model_id", "model_type", "status", "source_run_id", "experiment_id"),
}
