package breaker

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an HTTP response that is no success, as an error: for functions that hand it to [DoExternal].
type StatusError struct {
	Code  int           // the status code
	After time.Duration // what Retry-After asks for, 0 if there is none
}

// CheckResponse is nil for a status below 400, else a *StatusError. It leaves the body alone.
func CheckResponse(resp *http.Response) error {
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	return &StatusError{Code: resp.StatusCode, After: RetryAfter(resp)}
}

// Error gives the code, its meaning and Retry-After.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.Code, http.StatusText(e.Code))
	if e.After > 0 {
		text += fmt.Sprintf(", retry after %v", e.After)
	}
	return text
}

// RetryAfter is After.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

func (e *StatusError) verdict() Verdict {
	switch {
	case e.Code == http.StatusTooManyRequests, e.Code == http.StatusServiceUnavailable:
		return TripFor(e.After)
	case e.Code >= http.StatusInternalServerError:
		return Failure
	default:
		return Success
	}
}

// ClassifyResponse says what the head of a response says about the service. A status of 500 and above is a failure, and so
// is 429; with a Retry-After, 429 and 503 trip the breaker for that time. Everything else is a success: a 404 is an answer,
// if not a welcome one.
func ClassifyResponse(resp *http.Response) Verdict {
	return (&StatusError{Code: resp.StatusCode, After: RetryAfter(resp)}).verdict()
}

// RetryAfter is the time that a response asks for, in seconds or as a date. A date is reckoned from the response's own Date
// if it has one, so that the server's clock may be wrong. 0 if there is none, it can't be read, or it is over.
func RetryAfter(resp *http.Response) time.Duration {
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if isDigits(text) {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(maxDuration/time.Second) {
			return maxDuration
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(0, at.Sub(now)), maxDuration)
}

func isDigits(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}
