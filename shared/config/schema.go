package config

import _ "embed"

// Schema is the policy file's JSON schema (draft 2020-12): what editors complete
// and check by. It is made from the types and their comments; see schema_test.go.
//
//go:embed litterloop.schema.json
var Schema []byte
