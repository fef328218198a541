package embedded

import (
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// openTrunk prepares the part of the network that stays, and room for its maps
// of every part of a batch.
func (e *engine) openTrunk(photos, threads int) (err error) {
	if e.still.model == nil {
		return nil
	}
	if e.trunk, err = session.Open(e.still.model, []string{network.InputName}, e.still.outputs, threads); err != nil {
		return err
	}
	for i := range e.work {
		w := &e.work[i]
		w.photos = make([][]*session.Tensor, photos)
		for _, s := range e.still.shapes {
			one := s[0] * s[1] * s[2]
			data := make([]float32, photos*one)
			m, err := session.NewTensor(data, photos, s[0], s[1], s[2])
			if err != nil {
				return err
			}
			w.maps = append(w.maps, m)
			for n := range w.photos {
				if m, err = session.NewTensor(data[n*one:(n+1)*one], 1, s[0], s[1], s[2]); err != nil {
					return err
				}
				w.photos[n] = append(w.photos[n], m)
			}
		}
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
	for n, maps := range e.work[i].photos {
		if k := p.known[n]; k != nil {
			k.show(maps)
			continue
		}
		if err := e.look(p.images.Data[n*image:(n+1)*image], maps); err != nil {
			return nil, err
		}
		if e.cache != nil {
			e.cache.add(p.views[n], maps, p.targets[n])
		}
	}
	return e.work[i].maps, nil
}

// look runs the trunk on one photo, into maps.
func (e *engine) look(photo []float32, maps []*session.Tensor) error {
	images, err := session.NewTensor(photo, 1, 3, e.imageSize, e.imageSize)
	if err != nil {
		return err
	}
	defer images.Release()
	_, err = e.trunk.Again(maps, images)
	return err
}
