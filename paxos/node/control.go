package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// The control socket: a Unix socket that takes one line and answers with one JSON object. A line is the name of a request and words that
// say more, with blanks between them. What goes wrong is answered as {"error": "…"}.

// controlBound is how long either side waits for the other.
const controlBound = 20 * time.Second

// Answer answers a request; words are what came behind its name.
type Answer func(words []string) (any, error)

// NoWords is an answer to a request that takes none.
func NoWords(f func() (any, error)) Answer {
	return func(words []string) (any, error) {
		if len(words) > 0 {
			return nil, fmt.Errorf("this request takes no words, and got %q", strings.Join(words, " "))
		}
		return f()
	}
}

// Control answers requests on a Unix socket until closed.
type Control struct {
	listener net.Listener
	path     string
	answers  map[string]Answer
}

// ListenControl opens the socket at path, in place of one that a dead process left, and answers each request with its function.
func ListenControl(path string, answers map[string]Answer) (*Control, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket %s: another process answers there: end it, or name another path with --control", path)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w: is the directory there, and writable?", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	c := &Control{listener: l, path: path, answers: answers}
	go c.serve()
	return c, nil
}

// Close stops answering and removes the socket.
func (c *Control) Close() error { return c.listener.Close() }

func (c *Control) serve() {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, say
			continue
		}
		go c.answer(conn)
	}
}

func (c *Control) answer(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlBound))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	words := append(strings.Fields(line), "")
	name := words[0]
	var reply any
	if f, ok := c.answers[name]; !ok {
		known := strings.Join(slices.Sorted(maps.Keys(c.answers)), ", ")
		reply = map[string]string{"error": fmt.Sprintf("unknown request %q: choose from %s", name, known)}
	} else if reply, err = f(words[1 : len(words)-1]); err != nil {
		reply = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(conn).Encode(reply) // who does not wait for the answer gets none
}

// Ask sends a request to a control socket and decodes the answer into reply.
func Ask(path, request string, reply any) error {
	conn, err := net.DialTimeout("unix", path, controlBound)
	if err != nil {
		return fmt.Errorf("control socket %s: %w: is the process running?", path, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlBound))
	if _, err := fmt.Fprintln(conn, request); err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	var raw json.RawMessage
	if err := json.NewDecoder(conn).Decode(&raw); err != nil {
		return fmt.Errorf("control socket %s: no answer to %q: %w", path, request, err)
	}
	var failure struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(raw, &failure) == nil && failure.Error != "" {
		return fmt.Errorf("control socket %s: %s", path, failure.Error)
	}
	return json.Unmarshal(raw, reply)
}
