package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// checkpointMagic begins a checkpoint; its last byte is the format's version.
// Then: the header's length (uint32, little-endian), the header (JSON), the
// vectors it announces (float32, little-endian), SHA-256 of all before.
const checkpointMagic = "LITTRCP\x01"

// checkpoint is a training at the end of a step, or, without moments, a
// finished model's weights.
type checkpoint struct {
	checkpointHeader
	// Average is always there, the others only while the training may go on.
	Params, Moment1, Moment2, Average []float32
}

type checkpointHeader struct {
	Training string            `json:"training"`        // fingerprint of recipe and data: who may resume
	Step     int               `json:"step"`            // steps done
	Best     float64           `json:"best,omitempty"`  // mAP50-95 of the measurements so far
	Stale    int               `json:"stale,omitempty"` // measurements since then
	Classes  []string          `json:"classes"`
	Width    int               `json:"width"`
	Base     string            `json:"base,omitempty"` // SHA-256 of the pretrained detector that it began with
	Layers   []checkpointLayer `json:"layers"`
	Moments  bool              `json:"moments"`
}

// checkpointLayer places one array in the flat vectors.
type checkpointLayer struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

func (l checkpointLayer) size() int {
	n := 1
	for _, d := range l.Shape {
		n *= d
	}
	return n
}

func layers(params []*graph.Param) []checkpointLayer {
	ls := make([]checkpointLayer, len(params))
	for i, p := range params {
		ls[i] = checkpointLayer{p.Name, p.Shape}
	}
	return ls
}

func (c *checkpoint) vectors() []*[]float32 {
	if c.Moments {
		return []*[]float32{&c.Average, &c.Params, &c.Moment1, &c.Moment2}
	}
	return []*[]float32{&c.Average}
}

func (c *checkpoint) marshal() ([]byte, error) {
	header, err := json.Marshal(c.checkpointHeader)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	out := append([]byte(checkpointMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(header)))...)
	out = append(out, header...)
	for _, v := range c.vectors() {
		for _, x := range *v {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// parseCheckpoint reads what marshal wrote; any damage is a permanent error.
func parseCheckpoint(data []byte) (*checkpoint, error) {
	fail := func(format string, args ...any) (*checkpoint, error) {
		return nil, errs.Permanentf(InvalidCheckpoint, "read checkpoint of %d bytes: %w", len(data), fmt.Errorf(format, args...))
	}
	const fixed = len(checkpointMagic) + 4
	if len(data) < fixed+sha256.Size || string(data[:len(checkpointMagic)]) != checkpointMagic {
		return fail("it is not one, or of another version of this program")
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return fail("it is damaged: its checksum does not match")
	}
	length := uint64(binary.LittleEndian.Uint32(body[len(checkpointMagic):]))
	if length > uint64(len(body)-fixed) {
		return fail("its header is cut short")
	}
	c := &checkpoint{}
	if err := json.Unmarshal(body[fixed:fixed+int(length)], &c.checkpointHeader); err != nil {
		return fail("its header: %w", err)
	}
	n := 0
	for _, l := range c.Layers {
		if l.size() < 0 || l.size() > len(body) {
			return fail("layer %s has shape %v", l.Name, l.Shape)
		}
		n += l.size()
	}
	rest := body[fixed+int(length):]
	if len(rest) != 4*n*len(c.vectors()) {
		return fail("it holds %d bytes of weights where its header says %d", len(rest), 4*n*len(c.vectors()))
	}
	for _, v := range c.vectors() {
		*v = make([]float32, n)
		for i := range *v {
			(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*n:]
	}
	return c, nil
}

// startFrom overwrites initial weights with those of a previous model: every
// layer of the same name and shape, and of the class layers the rows of the
// classes that both know by name.
func (c *checkpoint) startFrom(params []*graph.Param, classes []string, weights []float32) error {
	type source struct {
		layer  checkpointLayer
		offset int
	}
	have, offset := map[string]source{}, 0
	for _, l := range c.Layers {
		have[l.Name] = source{l, offset}
		offset += l.size()
	}
	old := map[string]int{}
	for i, name := range c.Classes {
		old[name] = i
	}
	for _, p := range params {
		s, ok := have[p.Name]
		if !ok || len(s.layer.Shape) != len(p.Shape) {
			return errs.Permanentf(InvalidCheckpoint, "start from a previous model: it has no layer %s of %d dimensions; it is of another network", p.Name, len(p.Shape))
		}
		from, to := c.Average[s.offset:s.offset+s.layer.size()], weights[p.Offset:p.Offset+p.Size]
		if !network.IsClassLayer(p.Name) {
			if p.Size != s.layer.size() {
				return errs.Permanentf(InvalidCheckpoint, "start from a previous model: its layer %s has shape %v where this network has %v; train from scratch or set the recipe's width to %d", p.Name, s.layer.Shape, p.Shape, c.Width)
			}
			copy(to, from)
			continue
		}
		row := p.Size / len(classes)
		for i, name := range classes {
			if j, known := old[name]; known && (j+1)*row <= len(from) {
				copy(to[i*row:(i+1)*row], from[j*row:(j+1)*row])
			}
		}
	}
	return nil
}
