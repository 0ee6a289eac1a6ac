// Package wording has what errors of more than one package say in the same words.
package wording

import "fmt"

// TooLong says what makes a silence, be it of a node or of a stream, too long: its phi, which is 0 while too little is known, or that it has reached the most it may be.
func TooLong(phi float64, most bool) string {
	why := fmt.Sprintf("phi %.1f", phi)
	switch {
	case most && phi == 0:
		return "the most it may be; what is usual isn't known yet"
	case most:
		return "the most it may be, " + why
	default:
		return why
	}
}
