package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// sessionFile keeps the sessions of a client from one run to the next: a line that says of which cluster they are, and one for each.
type sessionFile struct {
	path   string
	header string
	seen   uint64 // changes of the client's sessions, up to which the file is written
}

// newSessionFile names the file, and reads the sessions in it: none where there is no file yet.
func newSessionFile(path string, f *cluster.File) (*sessionFile, []client.SessionID, error) {
	s := &sessionFile{path: path, header: fmt.Sprintf("wirepaxos sessions cluster=0x%016x group=%d", f.Cluster, f.Group)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--session-file: %w", err)
	}
	header, rest, _ := strings.Cut(string(text), "\n")
	if header != s.header {
		return nil, nil, fmt.Errorf("--session-file %s: it is not of this cluster: it begins %.80q, want %q; name another file", path, header, s.header)
	}
	var ids []client.SessionID
	for line := range strings.Lines(rest) {
		id, err := client.ParseSessionID(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, nil, fmt.Errorf("--session-file %s: line %d: %w; name another file", path, len(ids)+2, err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("--session-file %s: there is no session in it; remove it to begin with new ones", path)
	}
	return s, ids, nil
}

// keep writes the file anew once all sessions are open, and whenever they changed since. The new content stands once it is on disk: a crash leaves
// the old one.
func (s *sessionFile) keep(changes uint64, ids []client.SessionID) error {
	if changes == s.seen {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, s.header)
	for _, id := range ids {
		if id.Generation == 0 {
			return nil
		}
		fmt.Fprintln(&b, id)
	}
	if err := s.replace(b.Bytes()); err != nil {
		return fmt.Errorf("--session-file %s: %w: the sessions cannot be resumed later, name a file that can be written", s.path, err)
	}
	s.seen = changes
	return nil
}

func (s *sessionFile) replace(content []byte) error {
	file, err := os.OpenFile(s.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// advice says what to do about a session that was lost.
func (s *sessionFile) advice(err error) error {
	var lost *client.SessionError
	if !errors.As(err, &lost) {
		return err
	}
	switch lost.Status {
	case paxos.StatusTaken:
		return failed("%v; end that client, or take the session over with --take-over", err)
	case paxos.StatusFenced:
		return failed("%v; give each client a --session-file of its own", err)
	case paxos.StatusUnknown:
		return failed("%v; remove %s to begin with new sessions", err, s.path)
	}
	return failed("%v", err)
}
