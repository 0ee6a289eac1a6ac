package actors

import "slices"

// Describe checks a spec as [Start] would, and returns a picture of the tree that it makes, without starting anything. The options are those that Start
// would be given; [WithPolicy] shows in the picture. An invalid spec is a [*SpecError].
func Describe(root Supervisor, opts ...Option) (NodeSnapshot, error) {
	o := newOptions(opts)
	spec, err := o.compile(root)
	if err != nil {
		return NodeSnapshot{}, err
	}
	return spec.picture(), nil
}

// picture is the spec and all that is below it.
func (s *nodeSpec) picture() NodeSnapshot {
	p := s.describe()
	if s.supervisor != nil {
		for _, child := range s.supervisor.children {
			p.Children = append(p.Children, child.picture())
		}
	}
	return p
}

// describe is what the spec says of the node itself.
func (s *nodeSpec) describe() NodeSnapshot {
	d := NodeSnapshot{ID: s.id, Path: s.path, Kind: s.kind, Status: StatusPlanned, Lifecycle: s.life}
	switch {
	case s.agent != nil:
		d.Types = slices.Clone(s.agent.Types)
	case s.supervisor != nil:
		d.Strategy, d.Policy, d.AutoShutdown = s.supervisor.Strategy.String(), s.supervisor.Policy(), s.supervisor.AutoShutdown
		if s.supervisor.template != nil {
			t := s.supervisor.template.picture()
			d.Template = &t
		}
	}
	return d
}
