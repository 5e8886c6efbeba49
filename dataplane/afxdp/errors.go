package afxdp

import (
	"errors"
	"fmt"
)

// Why Open failed. Each is an Error's Kind; errors.Is finds it.
var (
	ErrConfig        = errors.New("configuration is wrong")
	ErrNoInterface   = errors.New("interface does not exist")
	ErrInterfaceDown = errors.New("interface is down")
	ErrNoQueue       = errors.New("queue does not exist")
	ErrQueueTaken    = errors.New("queue is taken by another socket")
	ErrNoPrivilege   = errors.New("privileges are missing")
	ErrNoAFXDP       = errors.New("kernel has no AF_XDP")
	ErrNoZeroCopy    = errors.New("zero-copy is refused")
	ErrLockedMemory  = errors.New("limit on locked memory is too low")
	ErrForeign       = errors.New("another XDP program is attached")
	ErrNoNeighbour   = errors.New("link address of a peer is unknown")
	ErrProgram       = errors.New("XDP program cannot be attached")
	ErrSocket        = errors.New("AF_XDP socket cannot be opened")
)

// Error is why a port could not be opened. Its text is one line: where, what, why, and what to do.
type Error struct {
	Interface string
	Queue     int
	Kind      error  // one of the Err variables
	Cause     error  // what the kernel said, or nil
	Advice    string // what to do
}

func (e *Error) Error() string {
	return fmt.Sprintf("afxdp: %s queue %d: %s", e.Interface, e.Queue, e.reason())
}

// reason is the text without the place.
func (e *Error) reason() string {
	s := e.Kind.Error()
	if e.Cause != nil {
		s += fmt.Sprintf(" (%v)", e.Cause)
	}
	if e.Advice != "" {
		s += ": " + e.Advice
	}
	return s
}

// Unwrap gives kind and cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// fault makes an Error without a place; Open puts interface and queue in.
func fault(kind, cause error, advice string, args ...any) *Error {
	return &Error{Kind: kind, Cause: cause, Advice: fmt.Sprintf(advice, args...)}
}
