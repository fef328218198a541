package pretrained

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Release is a published detector that may be started from.
type Release struct {
	Name    string
	URL     string
	Bytes   int64 // about; for progress until the server says
	Licence string
	SHA256  []string // of files that are known to be it
	// Tensors is the digest of the weights (see Digest): files of the same
	// weights differ where they were exported by another version of PyTorch.
	Tensors string
	Says    string // what it is
}

// Releases are the detectors that are known by name. Whatever else may be
// started from is named by its path or URI.
var Releases = []Release{{
	Name:    "yolox-nano",
	URL:     "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
	Bytes:   3_700_000,
	Licence: "Apache-2.0",
	SHA256:  []string{"d39bee73564e338080378b0ad567fbb40e818b55bbfaf971de82a0267ed16b8a"},
	Tensors: "8e901a9c41e279505b599000d9bda004b009a0d2105bb8afdcb36cd325928e2a",
	Says:    "YOLOX-nano by Megvii: 0.9 million weights, 80 classes of COCO, 416 pixels",
}}

// Find returns the release of a name.
func Find(name string) (Release, bool) {
	i := slices.IndexFunc(Releases, func(r Release) bool { return r.Name == name })
	if i < 0 {
		return Release{}, false
	}
	return Releases[i], true
}

// Digest is a hash of the weights of a model's convolutions alone, whatever they
// are called and in whichever order they stand.
func Digest(model []byte) (string, error) {
	g, err := onnx.Parse(model)
	if err != nil {
		return "", err
	}
	return digest(g), nil
}

func digest(g *onnx.Graph) string {
	var tensors [][]byte
	var weights []string
	for _, n := range g.Nodes {
		if n.Op == "Conv" {
			weights = append(weights, n.Inputs[1:]...)
		}
	}
	for _, name := range weights {
		c := g.Constants[name]
		h := sha256.New()
		var word [4]byte
		for _, d := range c.Shape {
			binary.LittleEndian.PutUint32(word[:], uint32(d))
			h.Write(word[:])
		}
		for _, v := range c.Floats {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
		tensors = append(tensors, h.Sum(nil))
	}
	slices.SortFunc(tensors, bytes.Compare)
	all := sha256.Sum256(slices.Concat(tensors...))
	return hex.EncodeToString(all[:])
}

// unknownLicence stands in a model's card until a person finds out.
const unknownLicence = "unknown: the starting model names none"

func licence(g *onnx.Graph) string {
	sum := digest(g)
	for _, r := range Releases {
		if r.Tensors == sum {
			return r.Licence
		}
	}
	if l := g.Properties["license"]; l != "" {
		return l
	}
	return unknownLicence
}
