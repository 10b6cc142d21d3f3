package agg

import "math/bits"

// The unscaled integer of a decimal is big-endian two's complement, perhaps with more sign bytes
// than needed (an Avro fixed is padded).

// minimal cuts the sign bytes off s that are not needed, as event.AppendBig writes it; an empty
// string is 0.
func minimal(s string) string {
	for len(s) > 1 && (s[0] == 0 && s[1] < 0x80 || s[0] == 0xff && s[1] >= 0x80) {
		s = s[1:]
	}
	if s == "" {
		return "\x00"
	}
	return s
}

// compareIntegers compares two minimal integers.
func compareIntegers(x, y string) int {
	negative := x[0] >= 0x80
	if negative != (y[0] >= 0x80) {
		if negative {
			return -1
		}
		return 1
	}
	if len(x) != len(y) { // the longer is further from 0
		if (len(x) > len(y)) != negative {
			return 1
		}
		return -1
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// integerMagnitude writes |s| into dst (its memory is reused) as little-endian words without leading zeros.
func integerMagnitude(dst []uint64, s string) (words []uint64, negative bool) {
	words = dst[:0]
	flip := byte(0)
	if s != "" && s[0] >= 0x80 {
		negative, flip = true, 0xff
	}
	for end := len(s); end > 0; end -= 8 {
		w := uint64(0)
		for _, b := range []byte(s[max(0, end-8):end]) {
			w = w<<8 | uint64(b^flip)
		}
		words = append(words, w)
	}
	if negative { // the complement, plus one
		carry := uint64(1)
		for i := range words {
			words[i], carry = bits.Add64(words[i], 0, carry)
		}
		if carry != 0 {
			words = append(words, carry)
		}
	}
	return trim(words), negative
}

// appendInteger appends ±words·2^e, e a multiple of 32 and not negative, as minimal two's complement.
func appendInteger(dst []byte, words []uint64, e int, negative bool) []byte {
	start := len(dst)
	dst = append(dst, 0)
	for i := len(words) - 1; i >= 0; i-- {
		for s := 56; s >= 0; s -= 8 {
			dst = append(dst, byte(words[i]>>uint(s)))
		}
	}
	for ; e > 0; e -= 8 {
		dst = append(dst, 0)
	}
	n := dst[start:]
	if negative {
		carry := byte(1)
		for i := len(n) - 1; i >= 0; i-- {
			n[i] = ^n[i] + carry
			if n[i] != 0 {
				carry = 0
			}
		}
	}
	skip := 0
	for skip < len(n)-1 && (n[skip] == 0 && n[skip+1] < 0x80 || n[skip] == 0xff && n[skip+1] >= 0x80) {
		skip++
	}
	return dst[:start+copy(n, n[skip:])]
}

// addInteger adds the integer s, and addIntegerSquare its square; words is scratch memory, returned
// for the next use.
func (a *accumulator) addInteger(s string, words []uint64) []uint64 {
	words, negative := integerMagnitude(words, s)
	a.addWords(words, 0, negative)
	return words
}

func (a *accumulator) addIntegerSquare(s string, words []uint64) []uint64 {
	words, _ = integerMagnitude(words, s)
	for i, x := range words {
		for j, y := range words {
			a.addProduct(x, y, 64*(i+j))
		}
	}
	return words
}
