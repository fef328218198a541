package embedded

import (
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func TestTrain_refusesPhotosThatTheMemoryCannotHold(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 40)}
	each := 40 * 96 * 96 * 3 // and a quarter more for the smaller sizes
	for _, c := range []struct {
		name   string
		memory int64
		fits   bool
	}{
		{"unknown", 0, true}, {"enough", int64(2 * each), true}, {"as much as the photos alone", int64(each), false},
	} {
		_, err := Train(t.Context(), data, smallRecipe(1), Hooks{Memory: c.memory})
		code, _ := errs.Reason(err)
		if c.fits && err != nil || !c.fits && (code != session.OutOfMemory || !strings.Contains(err.Error(), "40 photos")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
