// Package header wraps payloads in link headers and takes them out again.
//
// The way of a payload out: a port builds one Template per peer when it opens. To send, it copies the template in front of the
// payload (Template.Put) and only the few bytes that depend on the length change: nothing for raw Ethernet, two lengths and the
// IPv4 header checksum for UDP.
//
// The way in: Link.Parse checks every header of a received packet against what the link is configured to carry, and answers
// where the payload lies and who sent it (a key that the port looks up in its table of peers), or a Fault. Parse never
// reads past the packet and never panics, whatever the bytes.
//
// Two kinds of link exist. Raw Ethernet: destination MAC, source MAC, optional 802.1Q tag (IEEE 802.1Q-2018, 9.6),
// EtherType, payload. UDP: the same Ethernet header with EtherType 0x0800, IPv4 without options (RFC 791), UDP (RFC 768),
// payload. All fields are big-endian on the wire; the views (Ethernet, Tag, IPv4, UDP) are slices over the packet's own
// bytes and copy nothing.
//
// Nothing here allocates after Link.Template.
package header
