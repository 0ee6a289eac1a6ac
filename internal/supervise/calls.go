package supervise

// call handles a dynamic call. Calls never spend the restart budget.
func (m *Machine) call(e Call) {
	refuse := func(err error) { m.act(Reply{e.To, Answer{Err: err, ID: e.ID}}) }
	switch e.Op {
	case OpStart:
		if c := m.byID[e.Spec.ID]; c != nil {
			err := ErrAlreadyPresent
			if c.state == Up {
				err = ErrAlreadyStarted
			}
			m.act(Reply{e.To, Answer{Err: err, ID: c.ID, Child: c.status()}})
			return
		}
		c := m.add(e.Spec)
		m.start(task{kind: callStarting, child: c, to: e.To}, []*child{c})
		return
	case OpWhich:
		a := Answer{}
		for _, c := range m.all() {
			a.Children = append(a.Children, c.status())
		}
		m.act(Reply{e.To, a})
		return
	case OpCount:
		m.act(Reply{e.To, Answer{Count: m.count()}})
		return
	case OpReconfigure:
		m.reconfigure(e.Config)
		m.act(Reconfigured{e.Config.Data})
		m.act(Reply{e.To, Answer{}})
		return
	}

	c := m.byID[e.ID]
	if m.template != nil && m.refuseDynamic(e, c) {
		return
	}
	if c == nil {
		refuse(ErrNotFound)
		return
	}
	switch e.Op {
	case OpSpec:
		m.act(Reply{e.To, Answer{ID: c.ID, Child: c.status()}})
	case OpTerminate:
		if c.state == Up {
			m.stop(task{kind: callStopping, child: c, to: e.To}, reversed([]*child{c}))
			return
		}
		var held []*child
		if c.backingOff { // which OTP doesn't know: its siblings are down only as long as they wait for c. A retry leaves them down, as OTP does.
			held = m.heldFor(c)
		}
		m.rest(c)
		m.act(Reply{e.To, Answer{ID: c.ID, Child: c.status()}})
		m.release(c, held)
	case OpRestart, OpDelete:
		switch {
		case c.state == Up:
			refuse(ErrRunning)
		case c.state == Restarting:
			refuse(ErrRestarting)
		case e.Op == OpRestart:
			m.start(task{kind: callRestarting, child: c, to: e.To}, []*child{c})
		default:
			m.remove(c)
			m.act(Reply{e.To, Answer{ID: c.ID}})
		}
	}
}

// refuseDynamic answers those calls on which a dynamic supervisor differs: its instances have no specs of their own. To terminate one that
// is gone already is no error.
func (m *Machine) refuseDynamic(e Call, c *child) bool {
	a := Answer{ID: e.ID}
	switch {
	case e.Op == OpSpec && (c != nil || e.ID == m.template.ID):
		a.Child = Status{Spec: *m.template}
	case e.Op == OpSpec:
		a.Err = ErrNotFound
	case e.Op == OpTerminate && c != nil:
		return false
	case e.Op == OpTerminate && e.ID != m.template.ID:
	default:
		a.Err = ErrDynamic
	}
	m.act(Reply{e.To, a})
	return true
}

// reconfigure puts new flags and specs in force. Same ID: the new spec, for the incarnation that is there. New ID: added, not started. What isn't
// in the new specs stays, after them. The restart history is kept.
func (m *Machine) reconfigure(c Config) {
	m.strategy, m.policy, m.auto, m.alone = c.Strategy, c.Policy, c.AutoShutdown, alone(c.Strategy)
	m.budget.Reconfigure(c.Policy.MaxRestarts, c.Policy.Window)
	if m.template != nil {
		m.template = c.Template
		for _, child := range m.all() {
			child.adopt(*c.Template)
		}
		return
	}
	old := m.all()
	m.slots, m.gaps = nil, 0
	listed := make(map[string]bool, len(c.Children))
	for _, s := range c.Children {
		listed[s.ID] = true
		if known := m.byID[s.ID]; known != nil {
			known.Spec = s
			m.append(known)
		} else {
			m.add(s)
		}
	}
	for _, o := range old {
		if !listed[o.ID] {
			m.append(o)
		}
	}
}

func (m *Machine) count() Count {
	n := Count{}
	if m.template != nil {
		n.Specs = 1
		for _, c := range m.all() {
			n.instance(c)
		}
		return n
	}
	for _, c := range m.all() {
		n.Specs++
		n.instance(c)
	}
	return n
}

func (n *Count) instance(c *child) {
	if c.state == Up {
		n.Active++
	}
	if c.Supervisor {
		n.Supervisors++
	} else {
		n.Workers++
	}
}
