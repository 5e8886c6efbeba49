package netlab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// owned finds the labs that this process owns, for Down by name.
var owned struct {
	sync.Mutex
	labs map[string]*Lab
}

// Up builds a lab and returns when all its links carry. The caller owns it and must call Down; cancelling ctx calls Down too, but whoever
// ends the process must still wait for it by calling Down. On an error nothing is left behind.
//
// The name of a lab that runs is refused with ErrRunning; that of one whose owner died is cleaned and used.
func Up(ctx context.Context, spec Spec) (*Lab, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if err := privileged(); err != nil {
		return nil, fmt.Errorf("lab %s: %w", spec.Name, err)
	}
	s := &state{
		Name: spec.Name, Phase: PhaseBuilding, Created: time.Now(), Owner: self(),
		Direct: spec.direct(), MTU: spec.MTU, Hosts: spec.hosts(),
	}
	if err := claim(s); err != nil {
		return nil, err
	}
	lab := &Lab{name: s.Name, hosts: s.Hosts, direct: s.Direct, owner: true, processes: make(map[*Process]struct{})}
	whole := false
	defer func() {
		if !whole { // a panic: nobody will ever own what is there
			_ = errors.Join(lab.release(), s.clean())
		}
	}()
	err := lab.build(ctx, &spec)
	if err == nil {
		err = update(s.Name, func(s *state) error {
			s.Phase = PhaseUp
			if !s.Direct {
				s.Server = s.Owner
			}
			return nil
		})
	}
	whole = true // from here every way is a return
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", s.Name, err), lab.release(), s.clean())
	}
	lab.own(ctx)
	return lab, nil
}

// own registers the lab as this process's and ties it to Up's context. The lock holds back a Down that comes at once.
func (l *Lab) own(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwatch = context.AfterFunc(ctx, func() { _ = l.Down() }) // the owner's own Down returns the same error
	owned.Lock()
	defer owned.Unlock()
	if owned.labs == nil {
		owned.labs = make(map[string]*Lab)
	}
	owned.labs[l.name] = l
}

// build makes namespaces, links and switch, in this order.
func (l *Lab) build(ctx context.Context, spec *Spec) error {
	if err := prepareNamespaceDir(); err != nil {
		return err
	}
	if !l.direct {
		if err := addNamespace(namespaceOf(l.name, switchName)); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := addNamespace(h.Namespace); err != nil {
			return err
		}
	}
	var err error
	if l.direct {
		err = l.joinDirectly(spec)
	} else {
		err = l.joinBySwitch(spec)
	}
	if err != nil {
		return err
	}
	for _, h := range l.hosts {
		configure := func() error { return configureHost(h, l.hosts, !l.direct) }
		if err := inNamespace(h.Namespace, configure); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	for _, h := range l.hosts {
		if err := inNamespace(h.Namespace, func() error { return waitUp(ctx, h.Interface) }); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	if l.direct {
		return nil
	}
	waitEnds := func() error {
		for slot := range l.hosts {
			if err := waitUp(ctx, endName(slot)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := inNamespace(namespaceOf(l.name, switchName), waitEnds); err != nil {
		return err
	}
	l.server, err = serveDelays(l.name, l.tables, len(l.hosts))
	return err
}

func (l *Lab) joinDirectly(spec *Spec) error {
	near, far := l.hosts[0], l.hosts[1]
	return inNamespace(near.Namespace, veth{
		near: near.Interface, nearMAC: near.MAC, far: far.Interface, farMAC: far.MAC,
		farNamespace: far.Namespace, mtu: spec.MTU, queues: 1,
	}.add)
}

func (l *Lab) joinBySwitch(spec *Spec) error {
	return inNamespace(namespaceOf(l.name, switchName), func() (err error) {
		for slot, h := range l.hosts {
			pair := veth{
				near: endName(slot), far: h.Interface, farMAC: h.MAC, farNamespace: h.Namespace, mtu: spec.MTU, queues: h.Queues,
			}
			if err := pair.add(); err != nil {
				return err
			}
			if err := plainFrames(endName(slot)); err != nil {
				return err
			}
		}
		if l.tables, err = buildSwitch(spec, l.hosts); err != nil {
			return err
		}
		for slot := range l.hosts {
			if err := setUp(endName(slot)); err != nil {
				return err
			}
		}
		return nil
	})
}
