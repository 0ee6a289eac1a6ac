package supervise

// all returns the children in start order.
func (m *Machine) all() []*child { return m.in(0, len(m.slots)) }

// group returns the children that go down and come up with c, in start order. It is valid until the next call.
func (m *Machine) group(c *child) []*child {
	from, to := m.strategy.Group(int(c.slot), len(m.slots))
	if from == int(c.slot) && to == from+1 {
		m.just[0] = c
		return m.just[:]
	}
	return m.in(max(from, 0), min(to, len(m.slots)))
}

func (m *Machine) in(from, to int) []*child {
	group := make([]*child, 0, to-from)
	for _, c := range m.slots[from:to] {
		if c != nil {
			group = append(group, c)
		}
	}
	return group
}

func (m *Machine) add(s Spec) *child {
	c := &child{Spec: s}
	m.append(c)
	return c
}

func (m *Machine) append(c *child) {
	m.byID[c.ID] = c
	c.slot = int32(len(m.slots))
	m.slots = append(m.slots, c)
}

// remove takes a child's spec away. Its slot stays empty until half of them are: a removal costs amortised constant time.
func (m *Machine) remove(c *child) {
	if m.byID[c.ID] != c {
		return
	}
	m.settleDown(c)
	delete(m.byID, c.ID)
	m.slots[c.slot] = nil
	m.gaps++
	if m.gaps > 16 && m.gaps > len(m.slots)/2 {
		kept := m.slots[:0]
		for _, s := range m.slots {
			if s != nil {
				s.slot = int32(len(kept))
				kept = append(kept, s)
			}
		}
		clear(m.slots[len(kept):])
		m.slots, m.gaps = kept, 0
	}
	m.act(Drop{c.ID})
}

func (c *child) status() Status { return Status{c.Spec, c.state, c.incarnation} }
