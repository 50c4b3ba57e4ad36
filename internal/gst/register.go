package gst

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// columns counts those of Table.
const columns = 20

func insertSQL(rows int) string {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	return "INSERT INTO sale VALUES " + strings.Repeat(row+",", rows-1) + row
}

// register is a branch's book of sales.
type register struct {
	rng       *rand.Rand
	branch    string
	state     state
	customers []customer
	number    int
	clock     time.Time
}

type customer struct {
	name  string
	gstin any // text, or nil for a buyer who is not registered
	state state
}

// firstInvoice is the beginning of a fiscal year of India, 1 April.
var firstInvoice = time.Date(2024, time.April, 1, 9, 0, 0, 0, time.UTC)

func newRegister(rng *rand.Rand, branch string, index int) *register {
	r := &register{rng: rng, branch: branch, state: states[index%len(states)], clock: firstInvoice}
	r.customers = make([]customer, 120)
	for i := range r.customers {
		c := customer{state: r.state}
		if rng.IntN(3) == 0 { // two of three buyers are of the branch's own state
			c.state = states[rng.IntN(len(states))]
		}
		given, family := givenNames[rng.IntN(len(givenNames))], firmNames[rng.IntN(len(firmNames))]
		c.name = given + " " + family
		if rng.IntN(40) == 0 {
			c.name += " 🙏"
		}
		if rng.IntN(5) > 0 {
			c.gstin = randomGSTIN(rng, c.state)
		}
		r.customers[i] = c
	}
	return r
}

// next appends the values of one sale, in the order of the columns.
func (r *register) next(args []any) []any {
	r.number++
	r.clock = r.clock.Add(time.Duration(r.rng.IntN(4*3600*1000))*time.Millisecond + time.Duration(r.rng.IntN(1000))*time.Microsecond)
	if r.clock.Year() > 2025 { // a branch with many sales goes through its years again
		r.clock = firstInvoice.Add(time.Duration(r.rng.IntN(24)) * time.Hour)
	}
	c := &r.customers[r.rng.IntN(len(r.customers))]
	it := &items[r.rng.IntN(len(items))]
	a := amountsOf(it, int64(r.rng.IntN(it.most)+1), it.paise+int64(r.rng.IntN(int(it.paise/4)+1)), c.state == r.state)
	return append(args, r.branch, invoiceNumber(r.number, r.clock), r.clock.Format(time.DateOnly), c.gstin, c.name,
		c.state.code+"-"+c.state.name, it.hsn, it.name, float64(a.quantity)/1000, it.unit, rupees(a.rate), rupees(it.gst),
		rupees(a.taxable), rupees(a.cgst), rupees(a.sgst), rupees(a.igst), rupees(a.total), r.ackNumber(),
		r.clock.Format("2006-01-02 15:04:05.000000"), r.remark())
}

// rupees is an amount of paise as SQLite keeps decimals: the nearest double, whose shortest text is the exact amount
// while it has 15 digits at most.
func rupees(paise int64) float64 { return float64(paise) / 100 }

// invoiceNumber is text: its zeros belong to it. The second part is the fiscal year.
func invoiceNumber(n int, t time.Time) string {
	year := t.Year()
	if t.Month() < time.April {
		year--
	}
	return fmt.Sprintf("%06d/%02d-%02d", n, year%100, (year+1)%100)
}

// ackNumber has 16 digits, one more than a spreadsheet's numbers hold; a few sales have none.
func (r *register) ackNumber() any {
	switch r.rng.IntN(20) {
	case 0:
		return nil
	case 1:
		return ""
	default:
		return strconv.FormatInt(1_000_000_000_000_000+r.rng.Int64N(9_000_000_000_000_000), 10)
	}
}

func (r *register) remark() any {
	if n := r.rng.IntN(3 * len(remarks)); n < len(remarks) {
		return remarks[n]
	}
	return nil
}

// amounts are those of one sale: the quantity in thousandths, money in paise.
type amounts struct{ quantity, rate, taxable, cgst, sgst, igst, total int64 }

// amountsOf reckons a sale: within a state the tax is halved into central and state tax, each rounded to the paisa, else
// it is integrated tax.
func amountsOf(it *item, quantity, rate int64, intraState bool) amounts {
	if !it.fractions {
		quantity *= 1000
	}
	a := amounts{quantity: quantity, rate: rate, taxable: divide(quantity*rate, 1000)}
	if intraState {
		a.cgst = divide(a.taxable*it.gst, 20_000)
		a.sgst = a.cgst
	} else {
		a.igst = divide(a.taxable*it.gst, 10_000)
	}
	a.total = a.taxable + a.cgst + a.sgst + a.igst
	return a
}

// divide rounds half up; both are positive.
func divide(a, b int64) int64 { return (a + b/2) / b }

const base36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// randomGSTIN is a well-formed number: state, the holder's PAN (five letters, four digits, a letter), the holder's
// how-manieth registration, Z, check digit.
func randomGSTIN(rng *rand.Rand, s state) string {
	b := append(make([]byte, 0, 15), s.code...)
	for i := range 10 {
		if i >= 5 && i < 9 {
			b = append(b, '0'+byte(rng.IntN(10)))
		} else {
			b = append(b, 'A'+byte(rng.IntN(26)))
		}
	}
	b = append(b, '1'+byte(rng.IntN(9)), 'Z')
	return string(append(b, CheckDigit(string(b))))
}

// CheckDigit is the fifteenth character of a GSTIN, from its first fourteen: their values in base 36 are multiplied by 1
// and 2 in turn, the digits of the products summed, and the sum filled up to a multiple of 36.
func CheckDigit(first14 string) byte {
	sum := 0
	for i := range len(first14) {
		p := strings.IndexByte(base36, first14[i]) * (1 + i%2)
		sum += p/36 + p%36
	}
	return base36[(36-sum%36)%36]
}
