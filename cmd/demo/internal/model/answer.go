package model

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Bounds of an answer.
const (
	answerSentences = 2
	answerBytes     = 320
)

// documentationLine separates the instruction of a prompt from the text it is about.
const documentationLine = "\nDocumentation:\n"

// Answer is what the embedded server says to a prompt: at most two sentences of the documentation in it, in their order.
//
// The documentation is what follows the line "Documentation:", else the whole prompt. Of each paragraph the first
// sentence is a candidate. A candidate's score is the mean frequency, in all the documentation, of its words of four
// letters and more; the first candidate counts double, for a text begins with what it is about.
func Answer(prompt string) string {
	text := prompt
	if _, after, found := strings.Cut("\n"+prompt, documentationLine); found {
		text = after
	}
	var sentences []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		sentence := clip(firstSentence(strings.Join(strings.Fields(paragraph), " ")), answerBytes)
		if sentence != "" && !slices.Contains(sentences, sentence) {
			sentences = append(sentences, sentence)
		}
	}
	if len(sentences) == 0 {
		return "There is nothing to summarise."
	}

	frequency := map[string]int{}
	for _, word := range words(text) {
		frequency[word]++
	}
	scores := make([]float64, len(sentences))
	order := make([]int, len(sentences))
	for i, sentence := range sentences {
		sum, n := 0, 0
		for _, word := range words(sentence) {
			sum, n = sum+frequency[word], n+1
		}
		scores[i], order[i] = float64(sum)/float64(max(n, 4)), i // few words are no proof of relevance
	}
	scores[0] *= 2
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })

	best := order[:1]
	length := len(sentences[order[0]])
	for _, i := range order[1:] {
		if len(best) < answerSentences && length+1+len(sentences[i]) <= answerBytes {
			best, length = append(best, i), length+1+len(sentences[i])
		}
	}
	slices.Sort(best)
	chosen := make([]string, len(best))
	for k, i := range best {
		chosen[k] = sentences[i]
	}
	return strings.Join(chosen, " ")
}

// firstSentence ends at a full stop, question or exclamation mark before a space, unless that is an abbreviation or an initial.
func firstSentence(text string) string {
	for i := 0; i+1 < len(text); i++ {
		if text[i+1] != ' ' || !strings.ContainsRune(".?!", rune(text[i])) {
			continue
		}
		last := text[strings.LastIndexByte(text[:i], ' ')+1 : i]
		if len(last) <= 1 || strings.ContainsRune(last, '.') || last == "etc" || last == "vs" {
			continue
		}
		return text[:i+1]
	}
	return text
}

// words are the lower-case words of four letters and more.
func words(text string) []string {
	all := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.DeleteFunc(all, func(w string) bool { return len(w) < 4 })
}

// clip cuts text at the last space that leaves it within limit bytes.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := strings.LastIndexByte(text[:limit-len("…")+1], ' ')
	if end <= 0 {
		return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
	}
	return text[:end] + "…"
}
