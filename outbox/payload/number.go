package payload

import (
	"cmp"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Number is a number of a document, as it is written there, or what arithmetic made of such. The
// zero Number is 0.
type Number struct {
	Text   string // as it is written; empty: Digits alone are it
	Digits Digits
}

// Digits are the digits of a Number.
type Digits struct {
	long  bool // they are too many for short
	short decimal
}

// ParseNumber reads a JSON number, and keeps text. It is false for what is none.
func ParseNumber(text string) (Number, bool) {
	d, exact, ok := readNumber(text)
	if !ok {
		return Number{}, false
	}
	return Number{Text: text, Digits: Digits{long: !exact, short: d}}, true
}

// NumberOf returns n as a Number.
func NumberOf(n int) Number {
	number, _ := ParseNumber(strconv.Itoa(n)) // which it is
	return number
}

// String returns the number as JSON: as it is written, if it is of a document.
func (n Number) String() string {
	if n.Text == "" {
		return n.Digits.short.String()
	}
	return n.Text
}

// Compare returns the sign of n - m, exactly, however many digits they have.
func (n Number) Compare(m Number) int {
	if !n.Digits.long && !m.Digits.long {
		return compareDecimals(n.Digits.short, m.Digits.short)
	}
	sign, _ := compareTexts(n.String(), m.String()) // both are numbers
	return sign
}

// Negated returns -n with every digit that n has.
func (n Number) Negated() Number {
	m := n
	m.Digits.short.coefficient = -n.Digits.short.coefficient
	if positive, negative := strings.CutPrefix(n.Text, "-"); negative {
		m.Text = positive
	} else if n.Text != "" {
		m.Text = "-" + n.Text
	}
	return m
}

// Apply applies one of + - * / %. Sums, differences and products are exact up to 18 digits; what is
// longer, and quotients and remainders of fractions, are those of IEEE doubles. It is false for
// what is no number, such as 1/0.
func (n Number) Apply(operator byte, m Number) (Number, bool) {
	x, okX := n.rounded()
	y, okY := m.rounded()
	if !okX || !okY {
		return Number{}, false
	}
	d, ok := combine(operator, x, y)
	return Number{Digits: Digits{short: d}}, ok
}

// rounded returns the number as a decimal, that of the nearest double if it has too many digits.
func (n Number) rounded() (decimal, bool) {
	if !n.Digits.long {
		return n.Digits.short.normal(), true
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil {
		return decimal{}, false
	}
	return toDecimal(f)
}

// decimal is a number in base ten: coefficient × 10^exponent. It is exact for what has at most 18
// digits; numbers with more stay the text that they are.
type decimal struct {
	coefficient int64
	exponent    int
}

const (
	maxDigits      = 18      // a coefficient of so many digits fits an int64, whatever they are
	maxCoefficient = 1e18    // the first that has more digits
	maxExponent    = 1 << 30 // exponents are cut here, which no real number meets
)

// splitNumber takes a JSON number apart: its sign, its digits with the point among them, and its
// exponent. It is false for what is no JSON number.
func splitNumber(text string) (negative bool, digits string, exponent int, ok bool) {
	rest := strings.TrimPrefix(text, "-")
	negative = len(rest) < len(text)
	end := strings.IndexAny(rest, "eE")
	if end < 0 {
		end = len(rest)
	} else if exponent, ok = parseExponent(rest[end+1:]); !ok {
		return false, "", 0, false
	}
	digits = rest[:end]
	whole, fraction, pointed := strings.Cut(digits, ".")
	if !allDigits(whole) || (len(whole) > 1 && whole[0] == '0') || (pointed && !allDigits(fraction)) {
		return false, "", 0, false
	}
	return negative, digits, exponent, true
}

func parseExponent(text string) (int, bool) {
	if len(text) > 0 && text[0] == '+' {
		text = text[1:]
	}
	if !allDigits(strings.TrimPrefix(text, "-")) {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > maxExponent || n < -maxExponent {
		n = maxExponent
		if text[0] == '-' {
			n = -maxExponent
		}
	}
	return n, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseDecimal reads a JSON number. It is false for what has too many digits, or is no JSON number.
func parseDecimal(text string) (decimal, bool) {
	d, exact, ok := readNumber(text)
	return d.normal(), exact && ok
}

// readNumber reads a JSON number. Exact is false for what has too many digits for a decimal, ok for
// what is no number.
func readNumber(text string) (d decimal, exact, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	pos := 0
	if negative {
		pos = 1
	}
	significant := 0
	whole := digits(text[pos:], &d.coefficient, &significant)
	if whole == 0 || (whole > 1 && text[pos] == '0') {
		return decimal{}, false, false
	}
	pos += whole
	if pos < len(text) && text[pos] == '.' {
		fraction := digits(text[pos+1:], &d.coefficient, &significant)
		if fraction == 0 {
			return decimal{}, false, false
		}
		pos += 1 + fraction
		d.exponent = -fraction
	}
	if pos < len(text) {
		exponent, isExponent := parseExponent(text[pos+1:])
		if (text[pos] != 'e' && text[pos] != 'E') || !isExponent {
			return decimal{}, false, false
		}
		d.exponent += exponent
	}
	if negative {
		d.coefficient = -d.coefficient
	}
	return d, significant <= maxDigits, true
}

// digits appends the digits that text begins with to a coefficient, and returns how many those are.
// Of more than maxDigits significant ones the rest is only counted.
func digits(text string, coefficient *int64, significant *int) int {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return i
		}
		if *significant <= maxDigits {
			*coefficient = *coefficient*10 + int64(c-'0')
		}
		if *coefficient != 0 {
			*significant++
		}
	}
	return len(text)
}

// normal returns the same number with the smallest coefficient.
func (d decimal) normal() decimal {
	if d.coefficient == 0 {
		return decimal{}
	}
	for d.coefficient%10 == 0 {
		d.coefficient /= 10
		d.exponent++
	}
	return d
}

// String returns the number as JSON.
func (d decimal) String() string {
	digits := strconv.FormatInt(d.coefficient, 10)
	sign := ""
	if d.coefficient < 0 {
		sign, digits = "-", digits[1:]
	}
	switch point := len(digits) + d.exponent; {
	case d.exponent == 0:
		return sign + digits
	case d.exponent > 0 && point <= maxDigits+3:
		return sign + digits + strings.Repeat("0", d.exponent)
	case d.exponent < 0 && point > 0:
		return sign + digits[:point] + "." + digits[point:]
	case d.exponent < 0 && point > -maxDigits:
		return sign + "0." + strings.Repeat("0", -point) + digits
	default:
		return sign + digits + "e" + strconv.Itoa(d.exponent)
	}
}

// toDecimal returns the nearest double in base ten. It is false for what is not finite.
func toDecimal(f float64) (decimal, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return decimal{}, false
	}
	return parseDecimal(strconv.FormatFloat(f, 'e', -1, 64))
}

// compareDecimals returns the sign of a - b. Both are normal.
func compareDecimals(a, b decimal) int {
	signA, signB := cmp.Compare(a.coefficient, 0), cmp.Compare(b.coefficient, 0)
	if signA != signB || signA == 0 || a.exponent == b.exponent {
		return cmp.Compare(a.coefficient, b.coefficient)
	}
	if c := cmp.Compare(a.magnitude(), b.magnitude()); c != 0 {
		return c * signA
	}
	// Of the same magnitude, neither has more than maxDigits digits once they share an exponent.
	shared := min(a.exponent, b.exponent)
	return cmp.Compare(a.coefficient*pow10(a.exponent-shared), b.coefficient*pow10(b.exponent-shared))
}

// magnitude returns m where 10^(m-1) <= |d| < 10^m.
func (d decimal) magnitude() int {
	n := d.exponent
	for c := d.coefficient; c != 0; c /= 10 {
		n++
	}
	return n
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// compareTexts returns the sign of a - b for two JSON numbers of any length. It is false if one is
// no JSON number.
func compareTexts(a, b string) (int, bool) {
	negativeA, digitsA, pointA, okA := significant(a)
	negativeB, digitsB, pointB, okB := significant(b)
	if !okA || !okB {
		return 0, false
	}
	size := cmp.Or(cmp.Compare(pointA, pointB), strings.Compare(digitsA, digitsB))
	switch {
	case digitsA == "" || digitsB == "": // one is zero
		size = cmp.Compare(len(digitsA), len(digitsB))
	case negativeA != negativeB:
		size = 1
	}
	if (digitsA != "" && negativeA) || (digitsA == "" && negativeB) {
		size = -size
	}
	return size, true
}

// significant returns the digits of a number from the first to the last that is not 0, and where,
// counted from their start, the point stands. Zero has no digits.
func significant(text string) (negative bool, digits string, point int, ok bool) {
	negative, digits, point, ok = splitNumber(text)
	if !ok {
		return false, "", 0, false
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	point += len(whole)
	digits = strings.TrimRight(whole+fraction, "0")
	trimmed := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	return negative, trimmed, point, true
}

// combine is Number.Apply for decimals.
func combine(operator byte, a, b decimal) (decimal, bool) {
	if exact, ok := exactly(operator, a, b); ok {
		return exact, true
	}
	x, errX := strconv.ParseFloat(a.String(), 64)
	y, errY := strconv.ParseFloat(b.String(), 64)
	if errX != nil || errY != nil {
		return decimal{}, false
	}
	switch operator {
	case '+':
		x += y
	case '-':
		x -= y
	case '*':
		x *= y
	case '/':
		x /= y
	default:
		x = math.Mod(x, y)
	}
	return toDecimal(x)
}

func exactly(operator byte, a, b decimal) (decimal, bool) {
	if operator == '*' {
		high, low := bits.Mul64(magnitude64(a.coefficient), magnitude64(b.coefficient))
		if high != 0 || low >= maxCoefficient {
			return decimal{}, false
		}
		return decimal{a.coefficient * b.coefficient, a.exponent + b.exponent}.normal(), true
	}
	shared := min(a.exponent, b.exponent)
	if a.coefficient == 0 {
		shared = b.exponent
	} else if b.coefficient == 0 {
		shared = a.exponent
	}
	x, okX := a.scaled(shared)
	y, okY := b.scaled(shared)
	if !okX || !okY {
		return decimal{}, false
	}
	switch {
	case operator == '+':
		x += y
	case operator == '-':
		x -= y
	case operator == '%' && y != 0:
		x %= y
	default:
		return decimal{}, false
	}
	if magnitude64(x) >= maxCoefficient {
		return decimal{}, false
	}
	return decimal{x, shared}.normal(), true
}

// scaled returns the coefficient that d has with an exponent that is not above its own.
func (d decimal) scaled(exponent int) (int64, bool) {
	if d.coefficient == 0 {
		return 0, true
	}
	if d.magnitude()-exponent > maxDigits {
		return 0, false
	}
	return d.coefficient * pow10(d.exponent-exponent), true
}

func magnitude64(n int64) uint64 {
	if n < 0 {
		return uint64(-n)
	}
	return uint64(n)
}
