package dial_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
)

// noNames knows no names but those of this machine, so that no test asks a server on the network.
var noNames = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() { // until the resolver closes its end
		defer server.Close()
		for answerNoName(server) == nil {
		}
	}()
	return client, nil
}}

// answerNoName reads one query, in DNS's form for streams, and answers that there is no such name.
func answerNoName(nc net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(nc, message); err != nil || len(message) < 4 {
		return io.ErrUnexpectedEOF
	}
	const answer, noSuchName = 0x80, 3 // flags of a DNS header, RFC 1035, 4.1.1
	message[2] |= answer
	message[3] = message[3]&0xf0 | noSuchName
	_, err := nc.Write(append(length[:], message...))
	return err
}
