package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed otp.escript
var otpScript string

// otpNode is Erlang/OTP's own supervisor, run by otp.escript on an Erlang virtual machine beside this process. It idles between its turns.
type otpNode struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	dir     string
}

// startOTP starts the machine. Without Erlang it returns nil, and a note that says so.
func startOTP() (otp *otpNode, notes []string, end func()) {
	otp, err := newOTP()
	if err != nil {
		return nil, []string{"without OTP: " + err.Error()}, func() {}
	}
	return otp, nil, otp.end
}

func newOTP() (*otpNode, error) {
	if _, err := exec.LookPath("erl"); err != nil {
		return nil, err
	}
	escript, err := exec.LookPath("escript")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mistersmith-bench-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "otp.escript")
	if err := os.WriteFile(file, []byte(otpScript), 0o600); err != nil {
		return nil, err
	}
	o := &otpNode{process: exec.Command(escript, file), dir: dir}
	if o.in, err = o.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := o.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	o.out = bufio.NewScanner(out)
	if err := o.process.Start(); err != nil {
		return nil, err
	}
	if _, err := o.measure("ask", 10); err != nil {
		o.end()
		return nil, err
	}
	return o, nil
}

// end closes the machine's input, upon which it stops.
func (o *otpNode) end() {
	o.in.Close()
	o.process.Wait()
	os.RemoveAll(o.dir)
}

// measure has it run a case, and returns the figure that it prints.
func (o *otpNode) measure(name string, args ...int) (float64, error) {
	line := name
	for _, a := range args {
		line += " " + strconv.Itoa(a)
	}
	if _, err := fmt.Fprintln(o.in, line); err != nil {
		return 0, err
	}
	if !o.out.Scan() {
		return 0, fmt.Errorf("%s: no answer: %v", line, o.out.Err())
	}
	return strconv.ParseFloat(strings.TrimSpace(o.out.Text()), 64)
}

// contender is OTP with a case of the script.
func (o *otpNode) contender(name string, args ...int) contender {
	return contender{name: erlang, run: func(p *probe) {
		value, err := o.measure(name, args...)
		if err != nil {
			panic(err)
		}
		p.value = value
	}}
}

// with adds OTP to a case.
func (o *otpNode) with(b benchmark, name string, args ...int) benchmark {
	if o != nil {
		b.contenders = append(b.contenders, o.contender(name, args...))
	}
	return b
}

// grown adds OTP to a case of growth from few to many, which args turns into the arguments of the script's restarts.
func (o *otpNode) grown(b benchmark, few, many int, args func(int) []int) benchmark {
	if o == nil {
		return b
	}
	base, grown := o.contender("restarts", args(few)...), o.contender("restarts", args(many)...)
	base.name += among(few)
	grown.name += among(many)
	grown.against = base.name
	b.contenders = append(b.contenders, base, grown)
	return b
}
