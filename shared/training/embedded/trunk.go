package embedded

import (
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// openTrunk prepares the part of the network that stays, and room for its maps
// of every part of a batch.
func (e *engine) openTrunk(parts, photos, threads int) (err error) {
	if e.still.model == nil {
		return nil
	}
	if e.trunk, err = session.Open(e.still.model, []string{network.InputName}, e.still.outputs, threads); err != nil {
		return err
	}
	for range parts {
		var maps []*session.Tensor
		for _, s := range e.still.shapes {
			m, err := session.NewTensor(make([]float32, photos*s[0]*s[1]*s[2]), photos, s[0], s[1], s[2])
			if err != nil {
				return err
			}
			maps = append(maps, m)
		}
		e.maps = append(e.maps, maps)
	}
	return nil
}

// inputs are what the learning part reads: a part's photos, or the trunk's maps
// of them, photo by photo, as exports of one photo at a time are common.
func (e *engine) inputs(i int, p part) ([]*session.Tensor, error) {
	if e.trunk == nil {
		return []*session.Tensor{p.images}, nil
	}
	image := 3 * e.imageSize * e.imageSize
	for n := range p.targets {
		if err := e.look(p.images.Data[n*image:(n+1)*image], e.maps[i], n); err != nil {
			return nil, err
		}
	}
	return e.maps[i], nil
}

// look runs the trunk on one photo, and stores its maps as the nth.
func (e *engine) look(photo []float32, maps []*session.Tensor, n int) error {
	images, err := session.NewTensor(photo, 1, 3, e.imageSize, e.imageSize)
	if err != nil {
		return err
	}
	defer images.Release()
	out, err := e.trunk.Run(images)
	if err != nil {
		return err
	}
	defer session.Release(out)
	for k, o := range out {
		copy(maps[k].Data[n*len(o.Data):], o.Data)
	}
	return nil
}
