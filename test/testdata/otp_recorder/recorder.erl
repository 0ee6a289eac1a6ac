%% Records what OTP's own supervisor does in scenarios: TestOTPFresh makes them up, and replays the recordings.
%%
%%     erlc recorder.erl && erl -noshell -run recorder main scenarios.terms recordings.jsonl
%%
%% Each line of the input is a scenario as an Erlang map, each of the output the list of its steps as JSON. Every event takes a number of
%% erlang:unique_integer([monotonic]); exits come from process tracing, whose strict monotonic timestamps are numbers of the same counter. So there is one
%% order of all events, and it is a causal one.
-module(recorder).
-behaviour(supervisor).
-export([main/1, init/1, log/2, start_worker/1, start_worker/2, start_sup/1, worker_init/3]).

main([In, Out]) ->
    logger:remove_handler(default),
    logger:set_primary_config(level, error),
    ok = logger:add_handler(recorder, ?MODULE, #{}),
    {ok, Scenarios} = file:consult(In),
    {ok, F} = file:open(Out, [write, raw, {delayed_write, 1000000, 1000}]),
    lists:foreach(fun(S) -> Res = run(S), ok = file:write(F, [Res, "\n"]) end, Scenarios),
    file:close(F),
    halt(0).

ev(E) -> N = erlang:unique_integer([monotonic]), ets:insert(evs, {N, E}).

log(#{msg := {report, #{label := {supervisor, _}, report := R}}}, _) ->
    {SupPid, _} = proplists:get_value(supervisor, R),
    Ctx = proplists:get_value(errorContext, R),
    Reason = proplists:get_value(reason, R),
    Off = proplists:get_value(offender, R),
    [{_, Sup}] = ets:lookup(pids, SupPid),
    {X, Class} = case proplists:get_value(nb_children, Off) of
        undefined ->
            {name_of(Off), cls(Ctx, Reason)};
        K -> {["n=", integer_to_list(K)], cls(Ctx, Reason)}
    end,
    ev({report, SupPid, ["report ", Sup, " ", atom_to_list(Ctx), " ", X, " ", Class]});
log(_, _) -> ok.

name_of(Off) ->
    Pid = proplists:get_value(pid, Off),
    case is_pid(Pid) andalso ets:lookup(pids, Pid) of
        [{_, Name}] -> Name;
        _ ->
            {_, _, A} = proplists:get_value(mfargs, Off),
            case A of
                [_, Inst] -> Inst;
                _ -> case proplists:get_value(id, Off) of I -> I end
            end
    end.

cls(_, reached_max_restart_intensity) -> "reached_max_restart_intensity";
cls(start_error, {shutdown, {failed_to_start_child, Id, _}}) -> ["shutdown_failed_to_start_child:", Id];
cls(start_error, _) -> "fail";
cls(_, R) -> class(R).

class(normal) -> "normal";
class(shutdown) -> "shutdown";
class({shutdown, _}) -> "shutdown_term";
class(killed) -> "killed";
class(_) -> "crash".

%% ---- processes
failing(Id) ->
    case ets:lookup(fails, Id) of
        [{_, N, Mode}] when N > 0 -> ets:insert(fails, {Id, N - 1, Mode}), Mode;
        _ -> ok
    end.

start_worker(Id) -> start_worker(Id, Id).
start_worker(Template, Id) ->
    case failing(Id) of
        error -> ev({plain, ["start_failed ", Id]}), {error, fail};
        ignore -> ev({plain, ["ignored ", Id]}), ignore;
        Mode ->
            case proc_lib:start_link(?MODULE, worker_init, [Id, Template, Mode]) of
                {ok, P} -> {ok, P};
                {error, E} -> ev({plain, ["start_failed ", Id]}), {error, E}
            end
    end.

worker_init(_Id, _T, crash) -> exit(fail);
worker_init(Id, Template, ok) ->
    Kind = case ets:lookup(kinds, Id) of [{_, K}] -> K; [] -> case ets:lookup(kinds, Template) of [{_, K}] -> K; [] -> plain end end,
    [Parent | _] = get('$ancestors'),
    case Kind of plain -> ok; _ -> process_flag(trap_exit, true) end,
    ets:insert(pids, {self(), Id}),
    ets:insert(live, {Id, self()}),
    ev({start, self(), ["start ", Id]}),
    proc_lib:init_ack({ok, self()}),
    loop(Kind, Parent).

loop(Kind, Parent) ->
    receive
        {die, R} -> exit(R);
        {'EXIT', Parent, killed} -> exit(killed);
        {'EXIT', Parent, shutdown} ->
            case Kind of
                trap -> exit(shutdown);
                stubborn -> loop(Kind, Parent);
                odd_normal -> exit(normal);
                odd_crash -> exit(crash)
            end;
        {'EXIT', Parent, R} -> exit(R)
    end.

start_sup(Id) ->
    case failing(Id) of
        ignore -> ev({plain, ["ignored ", Id]}), ignore;
        error -> ev({plain, ["start_failed ", Id]}), {error, fail};
        crash -> ev({plain, ["start_failed ", Id]}), {error, fail};
        ok ->
            case supervisor:start_link(?MODULE, Id) of
                {ok, P} -> ets:insert(live, {Id, P}), ets:insert(upped, {P}), ev({plain, ["up ", Id]}), {ok, P};
                Err -> ev({plain, ["start_failed ", Id]}), Err
            end
    end.

init(Id) ->
    case get(inited) of
        undefined ->
            put(inited, true),
            ets:insert(pids, {self(), Id}),
            ev({plain, ["init ", Id]});
        _ -> ok
    end,
    [{_, N}] = ets:lookup(config, Id),
    {ok, {flags(N), [spec(C) || C <- maps:get(children, N)]}}.

flags(N) ->
    F0 = #{strategy => maps:get(strategy, N)},
    F1 = cp(intensity, N, F0), F2 = cp(period, N, F1), cp(auto_shutdown, N, F2).
cp(K, N, F) -> case N of #{K := V} -> F#{K => V}; _ -> F end.

spec(#{id := Id} = N) ->
    ets:insert_new(kinds, {Id, maps:get(kind, N, plain)}),
    Start = case N of
        #{strategy := _} -> ets:insert_new(config, {Id, N}), ets:insert_new(issup, {Id}), {?MODULE, start_sup, [Id]};
        _ -> {?MODULE, start_worker, [Id]}
    end,
    S0 = #{id => Id, start => Start},
    S1 = case N of #{strategy := _} -> S0#{type => supervisor}; _ -> S0 end,
    cp(significant, N, cp(shutdown, N, cp(restart, N, S1))).

register_tree(#{id := Id, children := Cs} = N) ->
    ets:insert(config, {Id, N}), ets:insert(issup, {Id}),
    [register_tree(C) || C <- Cs], ok;
register_tree(#{id := Id} = N) -> ets:insert_new(kinds, {Id, maps:get(kind, N, plain)}).

%% ---- a scenario
run(S) ->
    Tabs = [evs, pids, live, fails, kinds, config, issup, upped, rootid],
    [ets:new(T, [named_table, public, case T of evs -> ordered_set; _ -> set end]) || T <- Tabs],
    Self = self(),
    Tracer = spawn(fun() -> tracer() end),
    Parent = spawn(fun() -> process_flag(trap_exit, true), receive go -> ok end, parent(Self) end),
    erlang:trace(Parent, true, [procs, set_on_spawn, strict_monotonic_timestamp, {tracer, Tracer}]),
    put(tracer, Tracer), put(parent, Parent), put(killed, []),
    Tree = maps:get(tree, S), Root0 = maps:get(id, Tree), ets:insert(rootid, {root, Root0}),
    register_tree(Tree),
    [ets:insert(fails, {maps:get(id, F), maps:get(n, F), maps:get(mode, F)}) || F <- maps:get(fail, S)],
    Parent ! go,
    R = receive {started, RR} -> RR end,
    quiesce(),
    Res0 = case R of {ok, _} -> "ok"; ignore -> "error ignore"; {error, E} -> ["error ", err(E)] end,
    Step0 = step(Res0, []),
    Steps = [begin put(killed, []), RO = op(O), quiesce(), step(RO, []) end || O <- maps:get(ops, S)],
    Last = case live(rootid()) of
        undefined -> [];
        _ ->
            Counts = [[$", I, "\":\"", count(P), $"] || {I} <- lists:sort(ets:tab2list(issup)), (P = live(I)) =/= undefined],
            Parent ! stop, receive stopped -> ok end,
            quiesce(),
            [step("ok", [",\"counts\":{", lists:join(",", Counts), "}"])]
    end,
    erlang:trace(Parent, false, [procs, set_on_spawn]),
    exit(Parent, kill), exit(Tracer, kill),
    %% leave nothing
    [exit(P, kill) || {P, _} <- ets:tab2list(pids)],
    [ets:delete(T) || T <- Tabs],
    iolist_to_binary(["[", lists:join(",", [Step0 | Steps] ++ Last), "]"]).

parent(Ctl) ->
    R = start_sup(rootid()),
    Ctl ! {started, R},
    parent_loop(Ctl, R).
parent_loop(Ctl, R) ->
    receive
        stop ->
            {ok, P} = R, M = monitor(process, P), exit(P, shutdown),
            receive {'DOWN', M, _, _, _} -> ok end,
            Ctl ! stopped, parent_loop(Ctl, R);
        _ -> parent_loop(Ctl, R)
    end.

tracer() ->
    receive
        {trace_ts, Pid, exit, Reason, {_, N}} ->
            case catch ets:lookup(pids, Pid) of
                [{_, Id}] ->
                    case ets:member(issup, Id) andalso not ets:member(upped, Pid) of
                        true -> ok;
                        false -> ets:insert(evs, {N, {exit, Pid, ["stop ", Id, " ", class(Reason)]}})
                    end;
                _ -> ok
            end,
            tracer();
        {sync, From} -> From ! synced, tracer();
        _ -> tracer()
    end.

%% the step's events, in order; of a killed supervisor's descendants behind it; simple children when their supervisor stops, marked
step(Result, Extra) ->
    T = get(tracer),
    Ref = erlang:trace_delivered(all), receive {trace_delivered, all, Ref} -> ok end,
    T ! {sync, self()}, receive synced -> ok end,
    Evs = [E || {_, E} <- ets:tab2list(evs)],
    ets:delete_all_objects(evs),
    %% descendants of killed sups
    Lines0 = lists:foldl(fun({KPid, Desc}, Acc) -> move(KPid, Desc, Acc) end, Evs, lists:reverse(get(killed))),
    Lines = simple(Lines0),
    ["{\"ev\":[", lists:join(",", [[$", L, $"] || L <- Lines]), "],\"r\":\"", Result, "\",\"st\":\"", state(), "\"", Extra, "}"].

move(KPid, Desc, Evs) ->
    Is = fun(E) -> case E of {exit, P, _} -> lists:member(P, Desc); {report, P, _} -> lists:member(P, Desc); _ -> false end end,
    {Mine, Others} = lists:partition(Is, Evs),
    Sorted = [{tilde, X} || X <- lists:sort([iolist_to_binary(tx(M)) || M <- Mine])],
    {Before, After} = lists:splitwith(fun({exit, P, _}) when P =:= KPid -> false; (_) -> true end, Others),
    case After of [K | Rest] -> Before ++ [K] ++ Sorted ++ Rest; [] -> Before ++ Sorted end.

tx({_, _, T}) -> T;
tx({plain, T}) -> T;
tx({tilde, T}) -> ["~", T].

%% (2): a maximal run of exits of instances of a simple supervisor that stops: marked when the supervisor's own exit or bulk report follows
simple(Evs) -> simple(Evs, []).
simple([], Acc) -> lists:reverse(Acc);
simple([{exit, P, _} = E | Rest], Acc) ->
    case inst_sup(P) of
        undefined -> simple(Rest, [tx(E) | Acc]);
        Sup ->
            {Run, After} = lists:splitwith(fun({exit, Q, _}) -> inst_sup(Q) =:= Sup; (_) -> false end, [E | Rest]),
            Stops = is_stop(Sup, After),
            Ls = [iolist_to_binary(tx(X)) || X <- Run],
            Out = case Stops of true -> [["~", L] || L <- lists:sort(Ls)]; false -> Ls end,
            simple(After, lists:reverse(Out) ++ Acc)
    end;
simple([E | Rest], Acc) -> simple(Rest, [tx(E) | Acc]).

inst_sup(P) ->
    case get({inst, P}) of undefined -> undefined; S -> S end.

is_stop(Sup, [{report, Sup, T} | Rest]) ->
    case string:find(iolist_to_binary(T), " n=") of nomatch -> false; _ -> is_stop(Sup, Rest) end;
is_stop(Sup, [{exit, Sup, _} | _]) -> true;
is_stop(_, _) -> false.

live(Id) ->
    case ets:lookup(live, Id) of
        [{_, P}] -> case is_process_alive(P) of true -> P; false -> undefined end;
        [] -> undefined
    end.

err({shutdown, {failed_to_start_child, Id, _}}) -> ["failed_to_start_child ", Id];
err({error, E}) -> err(E);
err({ok, _}) -> "ok";
err({already_started, _}) -> "already_started";
err({Reason, {child, _, _, _, _, _, _, _, _}}) -> err(Reason);
err({Reason, Child}) when is_tuple(Child), element(1, Child) =:= child -> err(Reason);
err({supervisor_data, D}) -> ["supervisor_data ", err1(D)];
err({start_spec, D}) -> ["start_spec ", err1(D)];
err({bad_start_spec, _}) -> "bad_start_spec";
err({bad_return, _}) -> "bad_return";
err(E) -> err1(E).
err1(A) when is_atom(A) -> atom_to_list(A);
err1(T) when is_tuple(T) -> err1(element(1, T));
err1(_) -> "fail".

res(ok) -> "ok";
res({ok, undefined}) -> "ok undefined";
res({ok, _}) -> "ok";
res({ok, _, _}) -> "ok";
res({error, E}) -> ["error ", err(E)].

op(#{op := exit, id := Id, reason := R}) ->
    case live(Id) of undefined -> "noproc"; P -> die(P, R), "ok" end;
op(#{op := kill, id := Id}) ->
    case live(Id) of undefined -> "noproc"; P -> kill(P), "ok" end;
op(#{op := fail, id := Id, n := N, mode := M}) -> ets:insert(fails, {Id, N, M}), "ok";
op(#{op := wait, ms := Ms}) -> timer:sleep(Ms), "ok";
op(#{op := batch, sup := Sup, exits := Xs} = O) ->
    case live(Sup) of
        undefined -> "noproc";
        SP ->
            ok = sys:suspend(SP),
            [case live(maps:get(id, X)) of
                 undefined -> ok;
                 P -> case maps:get(reason, X) of kill -> kill(P); R -> die(P, R) end
             end || X <- Xs],
            Self = self(),
            Calls = maps:get(then, O, []),
            Refs = [begin
                 {_, L0} = process_info(SP, message_queue_len),
                 Ref = make_ref(),
                 spawn(fun() -> Self ! {Ref, catch api(SP, C#{sup => maps:get(sup, C, Sup)})} end),
                 waitlen(SP, L0),
                 Ref end || C <- Calls],
            ok = sys:resume(SP),
            Rs = [receive {Ref, R} -> case R of {'EXIT', _} -> "noproc"; _ -> R end end || Ref <- Refs],
            lists:join("; ", ["ok" | Rs])
    end;
op(#{sup := Sup} = O) ->
    case live(Sup) of undefined -> "noproc"; SP -> api(SP, O) end.

waitlen(SP, L) -> case process_info(SP, message_queue_len) of {_, N} when N > L -> ok; _ -> erlang:yield(), waitlen(SP, L) end.

die(P, R) ->
    M = monitor(process, P),
    P ! {die, case R of shutdown_term -> {shutdown, term}; _ -> R end},
    receive {'DOWN', M, _, _, _} -> ok end.
kill(P) ->
    Desc = desc(P),
    put(killed, [{P, Desc} | get(killed)]),
    M = monitor(process, P), exit(P, kill), receive {'DOWN', M, _, _, _} -> ok end.

desc(P) ->
    case ets:lookup(pids, P) of
        [{_, Id}] ->
            case ets:member(issup, Id) of
                true -> lists:flatten([[C, desc(C)] || {_, C, _, _} <- supervisor:which_children(P), is_pid(C)]);
                false -> []
            end;
        [] -> []
    end.

api(SP, #{op := start_child, inst := I}) -> res(supervisor:start_child(SP, [I]));
api(SP, #{op := start_child, spec := N}) ->
    S = spec(N), register_new(N), res(supervisor:start_child(SP, S));
api(SP, #{op := terminate_child, inst := I}) ->
    P = case ets:lookup(live, I) of [{_, X}] -> X; [] -> dead() end,
    res(supervisor:terminate_child(SP, P));
api(SP, #{op := terminate_child, id := I}) -> res(supervisor:terminate_child(SP, I));
api(SP, #{op := restart_child, id := I}) -> res(supervisor:restart_child(SP, I));
api(SP, #{op := delete_child, id := I}) -> res(supervisor:delete_child(SP, I));
api(SP, #{op := get_childspec, id := I}) ->
    case supervisor:get_childspec(SP, I) of
        {ok, #{restart := R, shutdown := Sh, type := T} = S} ->
            io_lib:format("ok restart=~p,significant=~p,shutdown=~p,type=~p", [R, maps:get(significant, S, false), Sh, T]);
        E -> res(E)
    end;
api(SP, #{op := count_children}) -> count(SP);
api(SP, #{op := which} = O) -> which(SP, maps:get(sup, O), false);
api(SP, #{op := change, sup := Sup} = O) ->
    [{_, Old}] = ets:lookup(config, Sup),
    New = maps:merge(Old, maps:with([strategy, intensity, auto_shutdown, children], O)),
    ets:insert(config, {Sup, New}),
    [case C of #{kind := K} -> ets:insert(kinds, {maps:get(id, C), K}); _ -> ok end || C <- maps:get(children, O, [])],
    [register_new(C) || C <- maps:get(children, O, [])],
    ok = sys:suspend(SP),
    R = sys:change_code(SP, ?MODULE, v1, []),
    ok = sys:resume(SP),
    case R of
        ok -> "ok";
        {error, E} -> ets:insert(config, {Sup, Old}), ["error ", err(E)]
    end.

%% a supervisor's own configuration follows its latest spec
register_new(#{id := Id, strategy := _} = N) -> ets:insert(config, {Id, N}), ets:insert(issup, {Id}), [register_new(C) || C <- maps:get(children, N)];
register_new(#{id := Id} = N) -> ets:insert_new(kinds, {Id, maps:get(kind, N, plain)}).

rootid() -> [{_, R}] = ets:lookup(rootid, root), R.
dead() -> P = spawn(fun() -> ok end), M = monitor(process, P), receive {'DOWN', M, _, _, _} -> P end.

count(P) ->
    C = supervisor:count_children(P),
    [S, A, Su, W] = [proplists:get_value(K, C) || K <- [specs, active, supervisors, workers]],
    io_lib:format("specs=~p,active=~p,supervisors=~p,workers=~p", [S, A, Su, W]).

state() -> case live(rootid()) of undefined -> "dead"; P -> which(P, rootid(), true) end.

which(P, Id, Deep) ->
    Cs = supervisor:which_children(P),
    [{_, N}] = ets:lookup(config, Id),
    L = case maps:get(strategy, N) of
        simple_one_for_one ->
            [[I, "=", X] || {I, X} <- lists:sort([case is_pid(C) andalso ets:lookup(pids, C) of [{_, Nm}] -> {Nm, "up"}; _ -> {"?", st(C)} end || {_, C, _, _} <- Cs])];
        _ -> [[I, "=", case is_pid(C) of
                  true -> case Deep andalso ets:member(issup, I) of true -> which(C, I, true); false -> "up" end;
                  false -> st(C) end] || {I, C, _, _} <- Cs]
    end,
    ["{", lists:join(",", L), "}"].
st(C) when is_atom(C) -> atom_to_list(C);
st(_) -> "up".

%% nothing restarting, all that are listed alive, and all that live reachable
quiesce() -> quiesce(0).
quiesce(N) when N > 100000 -> io:format(standard_error, "no quiescence~n", []), halt(2);
quiesce(N) ->
    Ok = try quiet() catch _:_ -> false end,
    case Ok of true -> remember(), ok; false -> (if N > 200 -> timer:sleep(1); true -> erlang:yield() end), quiesce(N + 1) end.

quiet() ->
    Reach = case live(rootid()) of undefined -> []; R -> [R | reach(R)] end,
    case lists:member(bad, Reach) of
        true -> false;
        false -> [P || {P, _} <- ets:tab2list(pids), is_process_alive(P), not lists:member(P, Reach)] =:= []
    end.
reach(P) ->
    [{_, Id}] = ets:lookup(pids, P),
    case ets:member(issup, Id) of
        false -> [];
        true -> lists:flatten([case C of
                    restarting -> bad;
                    undefined -> [];
                    _ -> case is_process_alive(C) of true -> [C | reach(C)]; false -> bad end end || {_, C, _, _} <- supervisor:which_children(P)])
    end.

remember() ->
    [case ets:lookup(config, Id) of
         [{_, #{strategy := simple_one_for_one}}] ->
             case live(Id) of
                 undefined -> ok;
                 SP -> [put({inst, C}, SP) || {_, C, _, _} <- (catch supervisor:which_children(SP)), is_pid(C)]
             end;
         _ -> ok
     end || {Id} <- ets:tab2list(issup)].
