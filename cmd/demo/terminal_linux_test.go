package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// terminal is the side of a pseudo-terminal on which a user would sit.
type terminal struct {
	*os.File
	mu     sync.Mutex
	screen bytes.Buffer
}

func openTerminal(t *testing.T, width, height uint16) (us *terminal, theirs *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}))
	us = &terminal{File: master}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			us.mu.Lock()
			us.screen.Write(buffer[:n])
			us.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return us, theirs
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

func (t *terminal) saw(text string) func() bool {
	return func() bool { return strings.Contains(t.text(), text) }
}

// onTerminal starts a run on a terminal of its own.
func onTerminal(t *testing.T, width, height uint16, env []string, args ...string) (us *terminal, cmd *exec.Cmd, settings unix.Termios, theirs *os.File) {
	t.Helper()
	us, theirs = openTerminal(t, width, height)
	before, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
	require.NoError(t, err)
	cmd = exec.Command(os.Args[0], append([]string{"--out", t.TempDir()}, args...)...)
	cmd.Env = append(os.Environ(), append([]string{asProgram + "=1", "TERM=xterm-256color", "NO_COLOR=", "LC_ALL=C.UTF-8"}, env...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	return us, cmd, *before, theirs
}

const (
	enterScreen = "\x1b[?1049h"
	leaveScreen = "\x1b[?1049l"
	showCursor  = "\x1b[?25h"
	wait        = 3 * time.Minute
	look        = 20 * time.Millisecond
)

// However a run on a terminal ends, it ends with its exit code, and the terminal is as it was before.
func TestTerminalIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(*terminal, *exec.Cmd) error
		code int
	}{
		"by itself":    {func(*terminal, *exec.Cmd) error { return nil }, summary.ExitOK},
		"Ctrl-C":       {func(us *terminal, _ *exec.Cmd) error { _, err := us.WriteString("\x03"); return err }, summary.ExitInterrupted},
		"Ctrl-C twice": {func(us *terminal, _ *exec.Cmd) error { _, err := us.WriteString("\x03\x03"); return err }, summary.ExitInterrupted},
		"SIGTERM":      {func(_ *terminal, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }, summary.ExitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			busy := newBusyModel(t)
			us, cmd, before, theirs := onTerminal(t, 80, 24, nil, busy.asked("--input", "goroot:go/types")...)
			require.Eventually(t, us.saw("attempts"), wait, look)
			require.NoError(t, test.end(us, cmd))
			busy.free.Store(test.code == summary.ExitOK)
			_ = cmd.Wait() // the exit code says it all
			require.Equal(t, test.code, cmd.ProcessState.ExitCode(), us.text())
			after, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
			require.NoError(t, err)
			require.Equal(t, before, *after)
			require.Eventually(t, us.saw(leaveScreen), wait, look)
			text := us.text()
			require.Greater(t, strings.LastIndex(text, leaveScreen), strings.LastIndex(text, enterScreen))
			require.Greater(t, strings.LastIndex(text, showCursor), strings.LastIndex(text, "\x1b[?25l"))
			if name == "by itself" {
				require.Eventually(t, us.saw("results  "), wait, look)
				require.Contains(t, us.text()[strings.LastIndex(us.text(), leaveScreen):], "verdict    ok", "the results stay on the screen")
			}
		})
	}
}

// So does one whose output nobody reads on.
func TestTerminalIsLeftAsItWasWithoutAReader(t *testing.T) {
	t.Parallel()
	us, theirs := openTerminal(t, 80, 24)
	before, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
	require.NoError(t, err)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	busy := newBusyModel(t)
	cmd := exec.Command(os.Args[0], busy.asked("--json", "--out", t.TempDir(), "--input", "goroot:go/types")...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, writer, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, writer.Close())
	_ = cmd.Wait() // the exit code says it all
	require.Equal(t, summary.ExitInterrupted, cmd.ProcessState.ExitCode(), us.text())
	after, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Eventually(t, us.saw("demo: "), wait, look)
	text := us.text()
	require.GreaterOrEqual(t, strings.LastIndex(text, leaveScreen), strings.LastIndex(text, enterScreen), "the view may not have begun")
	require.GreaterOrEqual(t, strings.LastIndex(text, showCursor), strings.LastIndex(text, "\x1b[?25l"))
}

// A terminal that can't show the view, or a user who doesn't want it, gets lines of text.
func TestTerminalWithoutAView(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		width, height uint16
		env, args     []string
	}{
		"small": {30, 10, nil, nil}, "dumb": {80, 24, []string{"TERM=dumb"}, nil}, "plain": {80, 24, nil, []string{"--plain"}},
		"JSON": {80, 24, nil, []string{"--json"}}, "quiet": {80, 24, nil, []string{"--quiet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			us, cmd, _, _ := onTerminal(t, test.width, test.height, test.env, append(test.args, "--chaos", "off", "--input", project(t, oneFile))...)
			require.NoError(t, cmd.Wait())
			require.Eventually(t, us.saw("verdict"), wait, look)
			require.NotContains(t, us.text(), enterScreen)
			require.Equal(t, name == "small" || name == "plain" || name == "JSON", strings.Contains(us.text(), "\x1b["), "colours of the log:\n%q", us.text())
		})
	}
}

func TestTerminalViewKeepsToItsLook(t *testing.T) {
	t.Parallel()
	busy := newBusyModel(t)
	us, cmd, _, _ := onTerminal(t, 80, 24, []string{"NO_COLOR=1", "LC_ALL=C"}, busy.asked("--input", project(t, oneFile))...)
	require.Eventually(t, us.saw("|- llm"), wait, look)
	busy.free.Store(true)
	require.NoError(t, cmd.Wait())
	require.Eventually(t, us.saw("verdict"), wait, look)
	require.Contains(t, us.text(), enterScreen)
	require.NotRegexp(t, "\x1b\\[[0-9;]*[1-9][0-9;]*m", us.text(), "no colours")
}
