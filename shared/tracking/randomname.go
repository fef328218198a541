package tracking

import (
	"fmt"
	"math/rand/v2"
)

// Words of the names that runs and logged models get when their makers give
// none.
var (
	adjectives = []string{"able", "amazing", "awesome", "bold", "bright", "calm", "clean", "clever", "dapper", "eager", "fair", "gentle",
		"handsome", "honest", "jolly", "keen", "kind", "lively", "lucky", "merry", "neat", "nimble", "polite", "proud", "quick", "quiet",
		"rare", "serious", "shiny", "smart", "swift", "tidy", "upbeat", "useful", "vivid", "wise", "witty", "young", "zesty"}
	nouns = []string{"auk", "bass", "bear", "bee", "carp", "cod", "crab", "crane", "crow", "deer", "dolphin", "duck", "eel", "elk", "finch",
		"fish", "fox", "frog", "gnat", "goat", "gull", "hare", "hawk", "heron", "jay", "kite", "lark", "lynx", "mole", "moth", "mouse",
		"newt", "otter", "owl", "perch", "quail", "ram", "ray", "robin", "seal", "shark", "skink", "snail", "sole", "squid", "stoat",
		"swan", "tern", "toad", "trout", "turtle", "vole", "whale", "wren", "yak"}
)

// randomName is a name such as swift-otter-407.
func randomName() string {
	return fmt.Sprintf("%s-%s-%d", adjectives[rand.IntN(len(adjectives))], nouns[rand.IntN(len(nouns))], rand.IntN(1001))
}
