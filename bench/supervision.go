package main

// supervision is what a message, a life and a failure cost in packages actors and strategies.
//
// All contenders restart within a budget that is kept and never spent. What is not the same:
//   - A restart of ours, of OTP's and of suture's is a new incarnation, waited for; protoactor restarts in place and waits for nobody.
//   - Ours and suture keep the stack of a panic.
//   - Our queues are bounded; protoactor's are not.
//   - Of a group, ours and OTP stop in reverse order and start in order, each awaited; protoactor restarts all at once.
//   - suture and plain goroutines have no messages; their channel stands for the mailbox, and outlives a restart. OTP's mailbox doesn't: its
//     crashes are ordered one by one.
var supervision = part{"supervision", func(s size) ([]benchmark, []string, func()) {
	otp, notes, end := startOTP()
	return []benchmark{
		otp.with(messageOneToOne(s), "message", 300_000, 1),
		otp.with(messageEightToEight(s), "message", 60_000, 8),
		otp.with(askOneToOne(s), "ask", 50_000),
		otp.with(startOfChildren(s), "start", population(s)),
		otp.with(stopOfChildren(s), "stop", population(s)),
		otp.with(idleChild(), "memory", idleChildren),
		otp.with(panicToAnswer(s), "panic", 2000),
		otp.with(restartStorm(s), "storm", stormChildren, stormCrashes(s)),
		otp.with(groupRestart(s, 10), "group", 10, groupCycles(s, 10)),
		otp.with(groupRestart(s, 100), "group", 100, groupCycles(s, 100)),
		otp.with(groupRestart(s, 1000), "group", 1000, groupCycles(s, 1000)),
		otp.grown(growthWithSiblings(), fewSiblings, manySiblings, func(siblings int) []int { return []int{siblings, 0, measuredRestarts} }),
		otp.grown(growthWithRestarts(s), 0, manyRestarts(s), func(before int) []int { return []int{1, before, measuredRestarts} }),
		growthWithGroup(s),
	}, notes, end
}}
