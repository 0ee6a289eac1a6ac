package view

import (
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
)

// refresh is how often the screen is brought up to date.
const refresh = 100 * time.Millisecond

// Config says what a program draws, and where.
type Config struct {
	Look      Look
	Screen    io.Writer    // the terminal
	Keyboard  io.Reader    // the terminal's other side; nil if there is none
	Environ   []string     // of the process: it says what the terminal can do
	Now       func() Model // called on the program's goroutine
	Interrupt func()       // the user pressed Ctrl-C, which a terminal that is being drawn on doesn't make a signal of
}

// Program keeps a view in its place on a terminal: on its alternate screen, so that what was there before is there again when the program ends.
type Program struct {
	tea  *tea.Program
	done chan struct{}
	err  error // set before done is closed
}

// Start begins to draw.
func Start(c Config) *Program {
	options := []tea.ProgramOption{tea.WithOutput(c.Screen), tea.WithInput(c.Keyboard), tea.WithEnvironment(c.Environ), tea.WithoutSignalHandler()}
	if c.Look.Colour {
		options = append(options, tea.WithColorProfile(colorprofile.ANSI))
	} else {
		options = append(options, tea.WithColorProfile(colorprofile.NoTTY))
	}
	p := &Program{tea: tea.NewProgram(screen{config: c, model: c.Now()}, options...), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_, p.err = p.tea.Run()
	}()
	return p
}

// Done is closed when the program doesn't draw any more: after End, or because it can't.
func (p *Program) Done() <-chan struct{} { return p.done }

// endTimeout is how long the program may take to leave the terminal as it was, on a machine that has little time for it.
const endTimeout = 30 * time.Second

// End ends the program and leaves the terminal as it was before. It returns why the program ended by itself, if it did. It may be called from any goroutine,
// and more than once.
func (p *Program) End() error {
	p.tea.Quit()
	select {
	case <-p.done:
	case <-time.After(endTimeout):
		p.tea.Kill()
		<-p.done
	}
	return p.err
}

// screen is the program's state in the terms of the library.
type screen struct {
	config        Config
	model         Model
	width, height int
}

type tick struct{}

func next() tea.Cmd { return tea.Tick(refresh, func(time.Time) tea.Msg { return tick{} }) }

// Init implements tea.Model.
func (s screen) Init() tea.Cmd { return next() }

// Update implements tea.Model.
func (s screen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tick:
		s.model = s.config.Now()
		return s, next()
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch m.String() {
		case "ctrl+c":
			s.config.Interrupt()
			s.model = s.config.Now()
		case "ctrl+z":
			return s, tea.Suspend
		}
	}
	return s, nil
}

// View implements tea.Model.
func (s screen) View() tea.View {
	v := tea.NewView(s.model.Render(s.width, s.height, s.config.Look))
	v.AltScreen = true
	return v
}
