// Package terraform declares the loop's cloud; its Go part is the price table,
// which the command line reckons with too.
package terraform

import _ "embed"

// Prices is prices.yaml.
//
//go:embed prices.yaml
var Prices []byte
