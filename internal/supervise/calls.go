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
		m.start(&task{kind: callStarting, child: c, to: e.To}, []*child{c})
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
	}

	c := m.byID[e.ID]
	if c == nil {
		refuse(ErrNotFound)
		return
	}
	switch e.Op {
	case OpSpec:
		m.act(Reply{e.To, Answer{ID: c.ID, Child: c.status()}})
	case OpTerminate:
		if c.state == Up {
			m.stop(&task{kind: callStopping, child: c, to: e.To}, reversed([]*child{c}))
			return
		}
		m.settleDown(c)
		if c.Restart == Temporary {
			m.remove(c)
		}
		m.act(Reply{e.To, Answer{ID: c.ID, Child: c.status()}})
	case OpRestart, OpDelete:
		switch {
		case c.state == Up:
			refuse(ErrRunning)
		case c.state == Restarting:
			refuse(ErrRestarting)
		case e.Op == OpRestart:
			m.start(&task{kind: callRestarting, child: c, to: e.To}, []*child{c})
		default:
			m.remove(c)
			m.act(Reply{e.To, Answer{ID: c.ID}})
		}
	}
}

func (m *Machine) count() Count {
	var n Count
	for _, c := range m.all() {
		n.Specs++
		if c.state == Up {
			n.Active++
		}
		if c.Supervisor {
			n.Supervisors++
		} else {
			n.Workers++
		}
	}
	return n
}
