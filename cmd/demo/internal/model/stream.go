package model

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

var (
	errLineTooLong   = errors.New("a line of the stream is too long")
	errStreamTooLong = errors.New("the stream is too long")
)

// eventReader reads the data of server-sent events. Lines end with LF or CRLF; comments and fields other than data are
// passed over; an event that the stream's end cuts short is dropped, as the format wants it.
type eventReader struct {
	lines *bufio.Reader
	max   int // bytes of one event's data, and of one line
	left  int // bytes of the stream still allowed
}

func newEventReader(r io.Reader, maxEvent, maxStream int) *eventReader {
	return &eventReader{lines: bufio.NewReader(r), max: maxEvent, left: maxStream}
}

// next returns the data of the next event, its lines joined by LF. The error is io.EOF at a clean end.
func (r *eventReader) next() (string, error) {
	var data []string
	size := 0
	for {
		line, err := r.line()
		if err != nil {
			return "", err
		}
		if line == "" {
			if data != nil {
				return strings.Join(data, "\n"), nil
			}
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		if field != "data" {
			continue
		}
		value = strings.TrimPrefix(value, " ")
		if size += len(value) + 1; size > r.max {
			return "", errLineTooLong
		}
		data = append(data, value)
	}
}

// line reads one whole line without its end. What stands after the last line end is not a line.
func (r *eventReader) line() (string, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if r.left -= len(part); r.left < 0 {
			return "", errStreamTooLong
		}
		line = append(line, part...)
		if len(line) > r.max+len("data: \r\n") {
			return "", errLineTooLong
		}
		switch {
		case err == nil:
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}
