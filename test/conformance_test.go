package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/internal/hold"
)

// conformance are the cases of OTP's own suite that the recordings don't show, or of which they don't show how they were adapted. Row and
// name are those of docs/OTP.md.
var conformance = []struct {
	row  int
	name string
	test func(t *testing.T)
}{
	{2, "sup_start_ignore_init", ignoreFromInit},
	{8, "sup_start_error_return", everyFaultOfASpecAtOnce},
	{9, "sup_start_fail", panicInInitIsAStartError},
	{14, "sup_start_map_simple", specOfAnInstanceByItsPID},
	{15, "sup_start_map_faulty_specs", faultySpecsAreRefused},
	{17, "sup_stop_timeout", lateChildIsAbandoned},
	{18, "sup_stop_timeout_dynamic", lateInstancesAreAbandoned},
	{19, "sup_stop_brutal_kill", brutalKillAsksNobody},
	{20, "sup_stop_brutal_kill_dynamic", brutalKillOfInstancesAsksNobody},
	{21, "sup_stop_race", exitsDuringShutdownDoNotDisturbIt},
	{22, "sup_stop_non_shutdown_exit_dynamic", anyExitIsGoodEnoughInABulkStop},
	{25, "extra_return", childAnswersAsSoonAsItIsStarted},
	{26, "child_specs", everyKindOfSpecIsValidated},
	{27, "child_specs_map", allCombinationsOfALifecycle},
	{35, "simple_one_for_one", argumentsAreKeptForRestarts},
	{36, "simple_one_for_one_shutdown", instancesStopTogetherUnderOneTimer},
	{37, "simple_one_for_one_extra", instanceAnswersAsSoonAsItIsStarted},
	{39, "simple_one_for_one_corruption", argumentsOfATemporaryInstanceAreDropped},
	{49, "faulty_application_shutdown", startErrorsCarryTheWholeChain},
	{53, "child_unlink", childThatHidesCannotHangTerminate},
	{59, "significant_simple", significantTemplateIsRefused},
	{68, "significant_upgrade_child", childBecomesSignificantInPlace},
	{69, "count_children", countChildren},
	{70, "count_children_supervisor", supervisorsAreCountedApart},
	{73, "do_not_save_start_parameters_for_temporary_children", producerOfATemporaryChildIsDropped},
	{75, "simple_one_for_one_scale_many_temporary_children", workOfManyTemporaryInstancesIsLinear},
	{77, "simple_global_supervisor", namesAreHeldWhenTheirSupervisorIsKilled},
	{80, "hanging_restart_loop_simple", callsAreServedWhileAnInstanceKeepsFailing},
	{81, "code_change", reconfigureKeepsWhatRuns},
	{82, "code_change_map", reconfigureIsAllOrNothing},
	{83, "code_change_simple", reconfigureOfATemplate},
	{84, "code_change_simple_map", templateIsExactlyOneSpec},
	{86, "scale_start_stop_many_children", workOfManyChildrenIsLinear},
	{90, "simple_one_for_one_restart_ignore", ignoreOnRestartDropsTheInstance},
	{91, "already_started_outside_supervisor", nameThatIsTakenOutsideIsAStartError},
	{92, "which_children", whichChild},
	{93, "which_children_simple_one_for_one", whichInstance},
}

// TestConformance runs them, each in virtual time.
func TestConformance(t *testing.T) {
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) { inVirtualTime(t, c.test) })
	}
}

// begin starts a tree that is stopped in order at the end of the test.
func begin(t *testing.T, root actors.Supervisor, opts ...actors.Option) *actors.Tree {
	t.Helper()
	tree := start(t, root, opts...)
	t.Cleanup(func() { _ = tree.Stop(context.Background()) })
	return tree
}

// exit is an order to end with a reason.
func exit(reason error) do { return func(ctx actor.Context) { actors.Exit(ctx, reason) } }

// obedient carries out the orders that it is sent.
func obedient(l actors.Lifecycle) actors.ActorSpec { return plain("a", hooks{}).With(l) }

// dynamic is a root with one dynamic supervisor, "root/d".
func dynamic(template actors.Child) actors.Supervisor {
	return actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "d", Template: template}}}
}

// startInstances starts instances of root/d.
func startInstances(t *testing.T, tree *actors.Tree, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := tree.StartInstance(t.Context(), "root/d", id)
		require.NoError(t, err)
	}
}

// numbered makes n IDs.
func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("i%d", i)
	}
	return ids
}

// holdStill keeps a supervisor from handling anything until the function returned is called.
func holdStill(tree *actors.Tree, supervisor string) (release func()) {
	held, released := make(chan struct{}), make(chan struct{})
	send(tree, supervisor, hold.Order{Held: held, Release: released})
	<-held
	return func() { close(released) }
}

// states says "a up, b undefined" in start order.
func states(t *testing.T, tree *actors.Tree, supervisor string) string {
	t.Helper()
	children, err := tree.Children(t.Context(), supervisor)
	require.NoError(t, err)
	lines := make([]string, len(children))
	for i, c := range children {
		lines[i] = c.ID + " " + c.State.String()
	}
	return strings.Join(lines, ", ")
}

// requireCount compares what CountChildren counts.
func requireCount(t *testing.T, tree *actors.Tree, supervisor string, want actors.ChildCount) {
	t.Helper()
	got, err := tree.CountChildren(t.Context(), supervisor)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// faultsOf lists the faults of a spec as "path: problem".
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var spec *actors.SpecError
	require.ErrorAs(t, err, &spec)
	faults := make([]string, len(spec.Faults))
	for i, f := range spec.Faults {
		faults[i] = f.Path + ": " + f.Problem
	}
	return faults
}
