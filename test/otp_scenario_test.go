package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recording is one line of a recorded run of OTP's supervisor: what was done to it, and what it did.
type recording struct {
	Scenario struct {
		Name string   `json:"name"`
		Tree otpNode  `json:"tree"`
		Fail []otpOp  `json:"fail"`
		Ops  []otpOp  `json:"ops"`
		Tags []string `json:"tags"`
	} `json:"scenario"`
	Oracle struct {
		OTP   string    `json:"otp"`
		Steps []otpStep `json:"steps"`
	} `json:"oracle"`
}

// otpNode is a child spec: a supervisor if it has a strategy, else a worker. Absent keys have OTP's defaults.
type otpNode struct {
	ID           string          `json:"id"`
	Kind         string          `json:"kind"`
	Restart      string          `json:"restart"`
	Significant  bool            `json:"significant"`
	Shutdown     json.RawMessage `json:"shutdown"`
	Strategy     string          `json:"strategy"`
	Intensity    *int            `json:"intensity"`
	Period       *int            `json:"period"`
	AutoShutdown string          `json:"auto_shutdown"`
	Children     []otpNode       `json:"children"`
}

type otpOp struct {
	Op     string   `json:"op"`
	ID     string   `json:"id"`
	Sup    string   `json:"sup"`
	Reason string   `json:"reason"`
	N      int      `json:"n"`
	Mode   string   `json:"mode"`
	MS     int      `json:"ms"`
	Spec   *otpNode `json:"spec"`
	Inst   string   `json:"inst"` // of a dynamic supervisor

	Exits []otpOp `json:"exits"` // batch: by themselves, one after the other, while the supervisor stands still
	Then  []otpOp `json:"then"`  // batch: calls that are queued behind them

	// change: the keys that are replaced
	Strategy     *string    `json:"strategy"`
	Intensity    *int       `json:"intensity"`
	AutoShutdown *string    `json:"auto_shutdown"`
	Children     *[]otpNode `json:"children"`
}

type otpStep struct {
	Events []string          `json:"ev"`
	Result string            `json:"r"`
	State  string            `json:"st"`
	Counts map[string]string `json:"counts"`
}

// recordings reads every recording in testdata/otp, or in the folder that MISTERSMITH_OTP_DIR names.
func recordings(t *testing.T) []recording {
	t.Helper()
	dir := os.Getenv("MISTERSMITH_OTP_DIR")
	if dir == "" {
		dir = filepath.Join("testdata", "otp")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	var all []recording
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<22)
		for n := 1; lines.Scan(); n++ {
			var r recording
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			all = append(all, r)
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		f.Close()
	}
	return all
}

func (n otpNode) String() string { return fmt.Sprintf("%s(%s)", n.ID, n.Kind) }
