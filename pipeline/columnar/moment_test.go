package columnar_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// batchOf encodes the builder's rows and reads them back as text, in the time zone of clock.
func batchOf(t interface{ Fatal(...any) }, b *columnar.Builder, clock *columnar.Clock) (typ string, texts []string) {
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(append([]byte(nil), body...))
	if err != nil {
		t.Fatal(err)
	}
	v := &batch.Cols[0]
	for i := range batch.Rows {
		if v.Null(i) {
			texts = append(texts, "NULL")
		} else {
			texts = append(texts, string(v.AppendText(nil, i, clock)))
		}
	}
	return v.Type(), texts
}

// A time's text is the same whether its batch has microseconds, nanoseconds or had to become text, and no digit is
// lost; the next batch begins with microseconds again.
func TestMoments(t *testing.T) {
	const layout = "2006-01-02 15:04:05.999999999"
	cols := []columnar.Column{{Name: "t", Kind: columnar.Time}, {Name: "ts", Kind: columnar.Timestamp}, {Name: "tz", Kind: columnar.Instant}}
	layouts := []string{"15:04:05.999999999", layout, layout + "-07:00"}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(0, 2).Draw(t, "kind")
		b := columnar.NewBuilder(cols[k : k+1])
		for range 2 {
			var want []string
			wantType := cols[k].Type()
			widest := 0
			for range rapid.IntRange(1, 8).Draw(t, "rows") {
				low, high := int64(-9_300_000_000), int64(9_300_000_000) // the years 1675 to 2264
				if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
					low, high = -62135596800, 253402300799
				}
				if k == 0 {
					low, high = 0, 86399
				}
				micros := rapid.Int64Range(low, high).Draw(t, "seconds")*1_000_000 + rapid.SampledFrom([]int64{0, 500_000, 123_456, 999_999, 1}).Draw(t, "micros")
				nanos := rapid.SampledFrom([]int64{0, 0, 0, 100, 900, 999}).Draw(t, "nanos")
				b.Column(0).Moment(micros, nanos)
				b.EndRow()
				want = append(want, time.UnixMicro(micros).Add(time.Duration(nanos)).UTC().Format(layouts[k]))
				reach := micros > -9223372036854775 && micros < 9223372036854775 && k > 0 || k == 0
				if nanos > 0 {
					widest |= 1
				}
				if !reach {
					widest |= 2
				}
			}
			switch {
			case widest == 1:
				wantType += "_ns"
			case widest == 3:
				wantType = "mixed"
			}
			typ, got := batchOf(t, b, new(columnar.Clock))
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("row %d: %s, want %s", i, got[i], want[i])
				}
			}
			if typ != wantType {
				t.Fatalf("the batch is %s, want %s", typ, wantType)
			}
			b.Reset()
		}
	})
}

// Times that are not of a day's clock keep their sign and their digits in every width.
func TestMomentsOfDurations(t *testing.T) {
	b := columnar.NewBuilder([]columnar.Column{{Name: "t", Kind: columnar.Time}})
	row := func(micros, nanos int64) {
		b.Column(0).Moment(micros, nanos)
		b.EndRow()
	}
	row(-1_500_000, 0)
	row(-1_500_000, 100) // 100 ns later
	b.Column(0).Null()
	b.EndRow()
	typ, got := batchOf(t, b, nil)
	if want := []string{"-00:00:01.5", "-00:00:01.4999999", "NULL"}; typ != "time_ns" || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%s %q", typ, got)
	}
	b.Column(0).Retype(columnar.Mixed)
	row(-1_500_000, 100)
	row(-1_000_000, 0)
	if typ, got = batchOf(t, b, nil); typ != "mixed" || got[3] != "-00:00:01.4999999" || got[4] != "-00:00:01" {
		t.Errorf("%s %q", typ, got)
	}
}

// A column of microseconds that nanoseconds do not reach stays as it is.
func TestRetypeToNano(t *testing.T) {
	b := columnar.NewBuilder([]columnar.Column{{Name: "ts", Kind: columnar.Timestamp}})
	c := b.Column(0)
	c.Long(columnar.Days(9999, 12, 31) * columnar.MicrosPerDay)
	if c.Retype(columnar.TimestampNano) || c.Retype(columnar.InstantNano) || c.Kind != columnar.Timestamp {
		t.Errorf("a time of the year 9999 became %s", c.Type())
	}
	b.Reset()
	c.Long(columnar.Days(2262, 4, 11) * columnar.MicrosPerDay)
	c.Null()
	if !c.Retype(columnar.TimestampNano) || !c.Retype(columnar.Text) {
		t.Error("a time of the year 2262 was not widened")
	}
}

// An instant in nanoseconds is shown in the job's zone, also where its wall clock is past what nanoseconds reach.
func TestInstantNanoText(t *testing.T) {
	loc, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	clock := columnar.NewClock(loc)
	b := columnar.NewBuilder([]columnar.Column{{Name: "tz", Kind: columnar.InstantNano}})
	b.Column(0).Long(1<<63 - 1)
	b.EndRow()
	b.Column(0).Long(-5*3600*1_000_000_000 - 100)
	b.EndRow()
	if _, got := batchOf(t, b, &clock); got[0] != "2262-04-12 05:17:16.854775807+05:30" || got[1] != "1970-01-01 00:29:59.9999999+05:30" {
		t.Errorf("%q", got)
	}
}

func BenchmarkTimestampText(b *testing.B) {
	for name, frac := range map[string]int64{"whole": 0, "milliseconds": 123_000, "microseconds": 123_456} {
		b.Run(name, func(b *testing.B) {
			var buf [64]byte
			for b.Loop() {
				_ = columnar.AppendTimestamp(buf[:0], 1_700_000_000_000_000+frac)
			}
		})
	}
}

// The text of a time is read back as the same time, and no other text is taken for one.
func TestParseMoment(t *testing.T) {
	kinds := []columnar.Kind{columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		micros := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1_000_000_000_000_000, 4_000_000_000_000_000)).Draw(t, "micros")
		nanos := rapid.SampledFrom([]int64{0, 100, 999}).Draw(t, "nanos")
		switch kind {
		case columnar.Date:
			micros, nanos = micros/columnar.MicrosPerDay*columnar.MicrosPerDay, 0
		case columnar.Time:
			micros /= 1000
		}
		text := columnar.AppendMoment(nil, kind, micros, nanos, 0)
		if m, n, ok := columnar.ParseMoment(text, kind); !ok || m != micros || n != nanos {
			t.Fatalf("%s %s is %d %d %t, not %d %d", kind, text, m, n, ok, micros, nanos)
		}
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		other := append(append(append([]byte(nil), text[:at]...), rapid.SampledFrom([]string{"", "0", " ", "-", ":", "x"}).Draw(t, "more")...), text[min(len(text), at+rapid.IntRange(0, 1).Draw(t, "less")):]...)
		if m, n, ok := columnar.ParseMoment(other, kind); ok && string(columnar.AppendMoment(nil, kind, m, n, 0)) != string(other) {
			t.Fatalf("%s %q is taken for %s", kind, other, columnar.AppendMoment(nil, kind, m, n, 0))
		}
	})
	for text, kind := range map[string]columnar.Kind{
		"": columnar.Date, "infinity": columnar.Date, "0000-00-00": columnar.Date, "2023-02-29": columnar.Date, "24-02-29": columnar.Date, "2024-2-29": columnar.Date,
		"2024-02-29 ": columnar.Date, "999999-01-01": columnar.Timestamp, "2024-02-29 25:00:00": columnar.Timestamp, "2024-02-29 10:60:00": columnar.Timestamp,
		"2024-02-29T10:00:00": columnar.Timestamp, "2024-02-29 10:00:00.50": columnar.Timestamp, "2024-02-29 10:00:00": columnar.Instant,
		"2024-02-29 10:00:00+05:30": columnar.Instant, "1:00:00": columnar.Time, "--01:00:00": columnar.Time, "-00:00:00": columnar.Time, "99999999999:00:00": columnar.Time,
	} {
		if _, _, ok := columnar.ParseMoment([]byte(text), kind); ok {
			t.Errorf("%q is taken for a %s", text, kind)
		}
	}
}

// BenchmarkDateText is a date that differs from the one before, from its day to its text.
func BenchmarkDateText(b *testing.B) {
	var text [16]byte
	day := int64(0)
	for b.Loop() {
		columnar.AppendDate(text[:0], 19000+day)
		day = (day*37 + 11) % 1024
	}
}
