#!/usr/bin/env escript
%%! +sbwt none +sbwtdcpu none +sbwtdio none +P 2000000
%% Measures OTP's own supervisor. Reads a case and its sizes from a line of standard input, and answers with a line: nanoseconds an
%% operation, or bytes a child. It ends with its input.
-mode(compile).
-behaviour(supervisor).
-export([init/1, start_child/2]).
-export([handle_call/3, handle_cast/2, handle_info/2]).

main(_) ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    loop().

loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Case | Args] = string:lexemes(Line, " \n"),
            Value = measure(list_to_atom(Case), [list_to_integer(A) || A <- Args]),
            io:format("~.1f~n", [float(Value)]),
            loop();
        _ ->
            ok
    end.

%% ---- cases

measure(message, [N, Pairs]) ->
    Sup = supervise({one_for_one, 3600}, Pairs, quiet),
    Children = children(Sup),
    Talk = fun() ->
        Senders = [spawn_monitor(fun() -> talk(C, N div 256) end) || C <- Children],
        [receive {'DOWN', Ref, process, _, _} -> ok end || {_, Ref} <- Senders]
    end,
    Talk(),
    Value = timed(N div 256 * 256 * Pairs, Talk),
    stop(Sup),
    Value;
measure(ask, [N]) ->
    Sup = supervise({one_for_one, 3600}, 1, quiet),
    [C] = children(Sup),
    Value = timed(N, fun() -> repeat(N, fun() -> answer = gen_server:call(C, question) end) end),
    stop(Sup),
    Value;
measure(start, [N]) ->
    Specs = specs(N, quiet),
    Self = self(),
    Value = timed(N, fun() -> {ok, Sup} = supervisor:start_link(?MODULE, {{one_for_one, 3600}, Specs}), Self ! {sup, Sup} end),
    receive {sup, Sup} -> stop(Sup) end,
    Value;
measure(stop, [N]) ->
    Sup = supervise({one_for_one, 3600}, N, quiet),
    timed(N, fun() -> stop(Sup) end);
measure(memory, [N]) ->
    Before = memory(),
    Sup = supervise({one_for_one, 3600}, N, quiet),
    Value = (memory() - Before) / N,
    stop(Sup),
    Value;
%% A child crashes, and again when it answers. Two hundred crashes for a supervisor, for the same reason as below.
measure(panic, [N]) ->
    Each = 200,
    lists:sum([restarts(1, 0, Each) || _ <- lists:seq(1, N div Each)]) / (N div Each);
measure(restarts, [Siblings, Before, N]) ->
    restarts(Siblings, Before, N);
%% The period is a second here: at each restart the supervisor goes through a list of all in the period.
measure(storm, [N, Crashes]) ->
    Sup = supervise({one_for_one, 1}, N, {tells, self()}),
    ups(N, fun(_) -> ok end),
    Value = timed(N * Crashes, fun() ->
        [gen_server:cast(C, boom) || C <- children(Sup)],
        ups(N * (Crashes - 1), fun(C) -> gen_server:cast(C, boom) end),
        ups(N, fun(C) -> answer = gen_server:call(C, question) end)
    end),
    stop(Sup),
    Value;
measure(group, [N, Cycles]) ->
    Sup = supervise({one_for_all, 3600}, N, {tells, self()}),
    ups(N, fun(_) -> ok end),
    Value = timed(N * Cycles, fun() ->
        group(Cycles, N, lists:last(children(Sup)))
    end),
    stop(Sup),
    Value.

%% A sender is at most a window ahead of its reader.
talk(C, Chunks) ->
    [gen_server:cast(C, {note, self(), M}) || M <- lists:duplicate(3, 256)],
    talk(C, Chunks, 3).

talk(_, 0, 0) -> ok;
talk(C, 0, Open) -> receive credit -> talk(C, 0, Open - 1) end;
talk(C, Chunks, Open) ->
    receive credit -> ok end,
    send_chunk(C, 255),
    gen_server:cast(C, {note, self(), 256}),
    talk(C, Chunks - 1, Open).

send_chunk(_, 0) -> ok;
send_chunk(C, N) -> gen_server:cast(C, note), send_chunk(C, N - 1).

restarts(Siblings, Before, N) ->
    Sup = supervise({one_for_one, 3600}, Siblings, {tells, self()}),
    ups(Siblings, fun(_) -> ok end),
    [C | _] = children(Sup),
    Crash = fun(_, Pid) -> gen_server:cast(Pid, boom), receive {up, New} -> answer = gen_server:call(New, question), New end end,
    Last = lists:foldl(Crash, C, lists:seq(1, Before)),
    Value = timed(N, fun() -> lists:foldl(Crash, Last, lists:seq(1, N)) end),
    stop(Sup),
    Value.

group(0, _, _) -> ok;
group(Cycles, N, C) ->
    gen_server:cast(C, boom),
    Last = last_up(N),
    group(Cycles - 1, N, Last).

last_up(1) -> receive {up, C} -> C end;
last_up(N) -> receive {up, _} -> last_up(N - 1) end.

ups(0, _) -> ok;
ups(N, Then) -> receive {up, C} -> Then(C), ups(N - 1, Then) end.

repeat(0, _) -> ok;
repeat(N, F) -> F(), repeat(N - 1, F).

timed(N, F) ->
    garbage_collect(),
    Start = erlang:monotonic_time(nanosecond),
    F(),
    (erlang:monotonic_time(nanosecond) - Start) / N.

memory() ->
    [garbage_collect(P) || P <- processes()],
    erlang:memory(total).

%% ---- the supervisor

supervise(Strategy, N, Mode) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {Strategy, specs(N, Mode)}),
    Sup.

specs(N, Mode) ->
    [#{id => I, start => {?MODULE, start_child, [child, Mode]}} || I <- lists:seq(1, N)].

children(Sup) -> [C || {_, C, _, _} <- supervisor:which_children(Sup)].

stop(Sup) ->
    exit(Sup, shutdown),
    receive {'EXIT', Sup, _} -> ok end.

start_child(child, Mode) -> gen_server:start_link(?MODULE, {child, Mode}, []).

%% Both behaviours call init.
init({child, {tells, Driver}}) -> Driver ! {up, self()}, {ok, none};
init({child, quiet}) -> {ok, none};
init({{Strategy, Period}, Specs}) -> {ok, {#{strategy => Strategy, intensity => 1000000000, period => Period}, Specs}}.

%% ---- the child

handle_call(question, _, S) -> {reply, answer, S}.

handle_cast(note, S) -> {noreply, S};
handle_cast({note, From, 256}, S) -> From ! credit, {noreply, S};
handle_cast(boom, _) -> error(boom).

handle_info(_, S) -> {noreply, S}.
