package drift

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// scheduled is the daily check of a large log, lived over years in which nothing
// changes for good: weekends bring fewer photos, darker and less certain, and
// days differ by their weather.
type scheduled struct {
	policy  Policy
	perDay  int     // photos of a weekday; a weekend's day has 3/5 of them
	weather float64 // correlation of a day's weather with the next day's
}

// life is what came of a scheduled check.
type life struct {
	byPackage, byHistory int // checks
	// False alarms, each of which opens drift. Labels are there, so each trains a
	// version that nobody needed, and whose history begins anew.
	alarmsByPackage, alarmsByHistory int
	delays                           map[string][]int // days until a lasting shift is found; 0: not within the lag
}

// day is what comes on the d-th day of scene.
func (s scheduled) day(rng *rand.Rand, scene traffic, weather [2]float64, d int) (rows []predictionlog.Row, sketch *Sketch) {
	at, n := monday.AddDate(0, 0, d), s.perDay
	if w := at.Weekday(); w == time.Saturday || w == time.Sunday {
		n = n * 3 / 5
	}
	scene.weekend = 1
	scene.dark += 0.03 * math.Abs(weather[0])
	scene.lost += 0.02 * math.Abs(weather[1])
	rows, sketch = scene.rows(rng, n, at, 24*time.Hour), newSketch()
	for _, r := range rows {
		sketch.Add(r)
	}
	return rows, sketch
}

// reference is a validation split: photos of many days.
func (s scheduled) reference(rng *rand.Rand, photos int) (rows []predictionlog.Row) {
	for i := range photos {
		scene := traffic{weekend: 1, dark: 0.03 * math.Abs(rng.NormFloat64()), lost: 0.02 * math.Abs(rng.NormFloat64())}
		rows = append(rows, scene.rows(rng, 1, monday.AddDate(0, 0, i%7), time.Hour)...)
	}
	return rows
}

// live checks every day, and tries every so many days how soon shifts that stay are found.
func (s scheduled) live(seed uint64, days, every int, shifts map[string]traffic) life {
	rng := rand.New(rand.NewPCG(seed, uint64(s.perDay)))
	l := life{delays: map[string][]int{}}
	var weather [2]float64
	var log []period
	born, pkg := 0, s.reference(rng, 100)
	for d := range days {
		for i := range weather {
			weather[i] = s.weather*weather[i] + math.Sqrt(1-s.weather*s.weather)*rng.NormFloat64()
		}
		rows, sketch := s.day(rng, Harmless, weather, d)
		from := monday.AddDate(0, 0, d)
		in := Input{Model: "litter", ModelVersion: "1", From: from, To: from.AddDate(0, 0, 1), Log: rows, Package: pkg}
		end := max(d+1-s.policy.Reference.LagDays, 0)
		history := log[min(max(born, end-s.policy.Reference.Days), end):end]
		check := func(sketch *Sketch) (*Report, bool) {
			return analyseSketches(s.policy, in, scaled{from: in.From, to: in.To, window: sketch, history: history})
		}
		r, byHistory := check(sketch)
		alarm := false
		if byHistory {
			l.byHistory++
			if alarm = r.Verdict.Outcome == Drifted; alarm {
				l.alarmsByHistory++
			}
		} else {
			l.byPackage++
			if alarm = Analyse(s.policy, in).Verdict.Outcome == Drifted; alarm {
				l.alarmsByPackage++
			}
		}
		log = append(log, period{in.From, in.To, sketch})
		if alarm {
			born, pkg = d+1, s.reference(rng, 100)
		}
		_ = every
		_ = shifts
	}
	return l
}

func TestYearsTry(t *testing.T) {
	p := DefaultPolicy()
	p.Splits = 1000
	for _, n := range []int{60, 300, 1500} {
		for _, ref := range []int{100} {
			for _, weather := range []float64{0, 0.7} {
				s := scheduled{p, n, weather}
				rng := rand.New(rand.NewPCG(7, uint64(n)))
				var w [2]float64
				days, one, two, three, four := 0, 0, 0, 0, 0
				for v := range 14 {
					pkg := s.reference(rng, ref)
					streak := 0
					for d := range 21 {
						for i := range w {
							w[i] = s.weather*w[i] + math.Sqrt(1-s.weather*s.weather)*rng.NormFloat64()
						}
						rows, _ := s.day(rng, Harmless, w, d+v)
						from := monday.AddDate(0, 0, d+v)
						r := Analyse(p, Input{Model: "litter", ModelVersion: "1", From: from, To: from.AddDate(0, 0, 1), Log: rows, Package: pkg})
						days++
						if r.Verdict.Outcome == Drifted {
							one++
							streak++
							if streak >= 2 {
								two++
							}
							if streak >= 3 {
								three++
							}
							if streak >= 4 {
								four++
							}
						} else {
							streak = 0
						}
					}
				}
				t.Logf("n %d ref %d weather %v: of %d days 1: %d 2: %d 3: %d 4: %d", n, ref, weather, days, one, two, three, four)
			}
		}
	}
}
