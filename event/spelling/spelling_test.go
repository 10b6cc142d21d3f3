package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"merchant", "amount", "country", "user.address.city", "amounts", "sum", "größe", "v"}
	for name, want := range map[string]string{
		"amout": "amount", "AMOUNT": "amount", "contry": "country", "maount": "amount", "summ": "sum", "Sum": "sum", "sm": "sum",
		"user.adress.city": "user.address.city", "amount": "amounts", "grösse": "größe", "amuonts": "amounts",
		"xyz": "", "": "", "w": "", "V": "v", strings.Repeat("amount", 30): "",
	} {
		if got, ok := Nearest(name, known); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
}
