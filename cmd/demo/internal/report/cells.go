package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxCell bounds a summary in a table, in runes.
const maxCell = 160

// clean puts text on one line and takes out control characters and invalid bytes.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Join(strings.Fields(text), " ")
}

// oneLine shortens text to a cell, at a word if there is one.
func oneLine(text string) string {
	runes := []rune(clean(text))
	if len(runes) <= maxCell {
		return string(runes)
	}
	short := string(runes[:maxCell-1])
	if word := strings.LastIndexByte(short, ' '); word > 0 {
		short = short[:word]
	}
	return short + "…"
}

// number writes thousands apart: 12,345.
func number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func share(part, whole int) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f %%)", 100*float64(part)/float64(whole))
}

func ratio(sum, n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(sum)/float64(n))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}
