package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/telemetry"
)

// config is what the flags say.
type config struct {
	input   string
	seed    uint64
	chaos   chaos.Level
	workers int
	out     string
	json    bool
	timeout time.Duration
	llm     string
	model   string
	key     string
	ascii   bool
	plain   bool
	quiet   bool
	colour  string // auto, always or never
	tell    telemetry.Config
	store   string
	resume  bool
	chosen  map[string]bool // flags that were given
}

const (
	maxWorkers     = 64
	defaultTimeout = 5 * time.Minute
	keyVariable    = "MISTERSMITH_LLM_KEY"
)

func commandLine(stdout, stderr io.Writer) *cli.Command {
	fail := func(_ context.Context, _ *cli.Command, err error, _ bool) error { return usageError(err) }
	return &cli.Command{
		Name:            "demo",
		Usage:           "audit Go source with supervised agents while things fail",
		UsageText:       "demo [run] [flags]\ndemo tree [flags]\ndemo verify DIR\ndemo version",
		Flags:           runFlags(),
		Action:          run,
		Writer:          stdout,
		ErrWriter:       stderr,
		OnUsageError:    fail,
		HideHelpCommand: true,
		HideVersion:     true,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {},
		Commands: []*cli.Command{
			{Name: "run", Usage: "audit, and report (the default)", Flags: runFlags(), Action: run, OnUsageError: fail, HideHelpCommand: true},
			{Name: "tree", Usage: "print the tree of the job without running it", Flags: treeFlags(), Action: printTree, OnUsageError: fail, HideHelpCommand: true},
			{Name: "verify", Usage: "recompute everything in the folder of a run, trusting nothing of it", ArgsUsage: "DIR", Action: verify, OnUsageError: fail, HideHelpCommand: true},
			{Name: "version", Usage: "print the version", Action: version, OnUsageError: fail, HideHelpCommand: true},
		},
	}
}

// parsers are what the flags' library quotes of the functions that it parses with.
var parsers = regexp.MustCompile(`(strconv\.\w+: parsing "[^"]*"|time): (invalid \w+|value out of range|missing unit|unknown unit "[^"]*").*`)

// usageError says in the words of the command line what the flags' library says in its own.
func usageError(err error) error {
	text := parsers.ReplaceAllString(err.Error(), "$2")
	for _, before := range []string{"for flag ", "not defined: "} {
		text = strings.Replace(text, before+"-", before+"--", 1)
	}
	return errors.New(text + " (--help says what there is)")
}

// jobFlags say what the job is.
func jobFlags() []cli.Flag {
	return local(
		&cli.StringFlag{Name: "input", Usage: "goroot:PKG, a folder, or a batch: FILE.jsonl", DefaultText: source.Default},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of everything that goes wrong"},
		&cli.StringFlag{Name: "chaos", Value: "mild", Usage: "off, mild or wild"},
		&cli.IntFlag{Name: "workers", Value: 4, Usage: fmt.Sprintf("agents in each pool, 1 to %d", maxWorkers)},
	)
}

func asciiFlag() cli.Flag {
	return &cli.BoolFlag{Name: "ascii", Usage: "draw with ASCII alone", DefaultText: "unless the locale is UTF-8", Local: true}
}

func runFlags() []cli.Flag {
	return append(jobFlags(), local(
		&cli.StringFlag{Name: "out", Usage: "folder for report and results", DefaultText: "a new temporary one"},
		&cli.BoolFlag{Name: "json", Usage: "print one JSON object a line, the summary last"},
		&cli.DurationFlag{Name: "timeout", Value: defaultTimeout, Usage: "give up after this time, 0 for never"},
		&cli.StringFlag{Name: "store", Usage: "`FILE` that the tasks are recorded in, so that a run that was killed can go on"},
		&cli.BoolFlag{Name: "resume", Usage: "go on with what is in the store"},
		&cli.StringFlag{Name: "llm", Usage: "`URL` of an OpenAI-compatible endpoint; its key in " + keyVariable, DefaultText: "embedded"},
		&cli.StringFlag{Name: "model", Usage: "name of the model at that endpoint"},
		&cli.BoolFlag{Name: "plain", Usage: "lines of text on a terminal too, instead of the live view"},
		&cli.BoolFlag{Name: "quiet", Usage: "nothing but the results"},
		&cli.StringFlag{Name: "color", Value: "auto", Usage: "auto, always or never"},
		asciiFlag(),
		&cli.StringFlag{Name: "metrics", Usage: "serve Prometheus metrics while it runs, at `ADDR`, such as :9464; loopback only"},
		&cli.StringFlag{Name: "otlp", Usage: "send metrics and traces to the OTLP collector at `URL`, such as http://127.0.0.1:4318"},
	)...)
}

// local keeps flags to the command that has them.
func local(flags ...cli.Flag) []cli.Flag {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Local = true
		case *cli.Uint64Flag:
			f.Local = true
		case *cli.IntFlag:
			f.Local = true
		case *cli.BoolFlag:
			f.Local = true
		case *cli.DurationFlag:
			f.Local = true
		}
	}
	return flags
}

// readConfig checks the flags and names everything that is wrong with them.
func readConfig(c *cli.Command, getenv func(string) string) (config, error) {
	cfg := config{
		input: c.String("input"), seed: c.Uint64("seed"), workers: c.Int("workers"), out: c.String("out"), json: c.Bool("json"),
		timeout: c.Duration("timeout"), llm: c.String("llm"), model: c.String("model"), key: getenv(keyVariable),
		plain: c.Bool("plain"), quiet: c.Bool("quiet"), colour: c.String("color"),
		tell:  telemetry.Config{Metrics: c.String("metrics"), OTLP: c.String("otlp")},
		ascii: c.Bool("ascii") || !c.IsSet("ascii") && !speaksUTF8(getenv),
		store: c.String("store"), resume: c.Bool("resume"), chosen: make(map[string]bool),
	}
	for _, flag := range c.LocalFlagNames() {
		cfg.chosen[flag] = true
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Args().Present() {
		fault("unexpected %q: the input is given with --input, and --help says what else there is", c.Args().First())
	}
	var err error
	if cfg.chaos, err = chaos.ParseLevel(c.String("chaos")); err != nil {
		faults = append(faults, err)
	}
	if cfg.workers < 1 || cfg.workers > maxWorkers {
		fault("--workers is %d, must be 1 to %d", cfg.workers, maxWorkers)
	}
	if cfg.timeout < 0 {
		fault("--timeout is %s, must not be negative", cfg.timeout)
	}
	if (cfg.llm == "") != (cfg.model == "") && (cfg.llm == "" || !isBatch(cfg.input)) { // the requests of a batch may name their models
		fault("--llm and --model go together")
	}
	if cfg.resume && cfg.store == "" && !hasStoreOfItsOwn(cfg) {
		fault("--resume needs --store: where to go on from")
	}
	if cfg.llm != "" {
		if _, err := model.Endpoint(cfg.llm); err != nil {
			fault("--llm: %w", err)
		}
	}
	if isBatch(cfg.input) {
		cfg.forBatch()
	}
	if !slices.Contains([]string{"", "auto", "always", "never"}, cfg.colour) {
		fault("--color is %q, must be auto, always or never", cfg.colour)
	}
	if err := cfg.tell.Validate(); err != nil {
		faults = append(faults, err)
	}
	return cfg, errors.Join(faults...)
}

// speaksUTF8 reports whether the locale is a UTF-8 one. Without any locale it is taken to be.
func speaksUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG"), "utf-8"))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

func version(_ context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("version takes no arguments, got %q", c.Args().First())
	}
	v := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v = info.Main.Version
	}
	return printTo(c.Root().Writer, fmt.Sprintln("mistersmith demo", v))
}
