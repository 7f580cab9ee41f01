package amqp

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Descriptors of the performatives and of the types inside them.
const (
	descOpen        = 0x10
	descBegin       = 0x11
	descAttach      = 0x12
	descFlow        = 0x13
	descTransfer    = 0x14
	descDisposition = 0x15
	descDetach      = 0x16
	descEnd         = 0x17
	descClose       = 0x18
	descError       = 0x1d
	descAccepted    = 0x24
	descRejected    = 0x25
	descReleased    = 0x26
	descSource      = 0x28
	descTarget      = 0x29

	descSASLMechanisms = 0x40
	descSASLInit       = 0x41
	descSASLOutcome    = 0x44
)

// fields reads a performative's list field by field. A field that is null or left out has the default given. The first
// error sticks, so a decoder can read all fields and check once.
type fields struct {
	r   reader
	n   int
	err error
}

// readComposite reads a described list from the front of r.
func readComposite(r *reader) (descriptor uint64, f fields, err error) {
	code, err := r.byte()
	if err != nil {
		return 0, f, err
	}
	if code != codeDescribed {
		return 0, f, fmt.Errorf("format code 0x%02x in place of a described list", code)
	}
	if descriptor, err = r.descriptor(); err != nil {
		return 0, f, err
	}
	if code, err = r.byte(); err != nil {
		return 0, f, err
	}
	switch code {
	case codeList0:
		return descriptor, f, nil
	case codeList8, codeList32:
	default:
		return 0, f, fmt.Errorf("format code 0x%02x in place of a list", code)
	}
	b, err := r.payload(code)
	if err != nil {
		return 0, f, err
	}
	f.n, f.r, err = count(code, b)
	return descriptor, f, err
}

// descriptor reads a numeric descriptor, or a symbolic one and returns its number.
func (r *reader) descriptor() (uint64, error) {
	if len(r.buf) > 1 && r.buf[0] == codeSmallUlong { // the usual form
		d := r.buf[1]
		r.buf = r.buf[2:]
		return uint64(d), nil
	}
	v, err := r.value()
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case uint64:
		return v, nil
	case Symbol:
		if d, ok := symbolicDescriptors[v]; ok {
			return d, nil
		}
	}
	return 0, fmt.Errorf("descriptor %v is unknown", v)
}

var symbolicDescriptors = map[Symbol]uint64{
	"amqp:open:list": descOpen, "amqp:begin:list": descBegin, "amqp:attach:list": descAttach,
	"amqp:flow:list": descFlow, "amqp:transfer:list": descTransfer, "amqp:disposition:list": descDisposition,
	"amqp:detach:list": descDetach, "amqp:end:list": descEnd, "amqp:close:list": descClose,
	"amqp:error:list": descError, "amqp:source:list": descSource, "amqp:target:list": descTarget,
	"amqp:accepted:list": descAccepted, "amqp:rejected:list": descRejected, "amqp:released:list": descReleased,
	"amqp:sasl-mechanisms:list": descSASLMechanisms, "amqp:sasl-init:list": descSASLInit,
	"amqp:sasl-outcome:list": descSASLOutcome,
	"amqp:header:list":       SectionHeader, "amqp:delivery-annotations:map": SectionDeliveryAnnotations,
	"amqp:message-annotations:map": SectionMessageAnnotations, "amqp:properties:list": SectionProperties,
	"amqp:application-properties:map": SectionApplicationProperties, "amqp:data:binary": SectionData,
	"amqp:amqp-sequence:list": SectionSequence, "amqp:amqp-value:*": SectionValue, "amqp:footer:map": SectionFooter,
}

// next returns the format code and payload of the next field. ok is false if the field is null or left out, or after an
// error.
func (f *fields) next() (code byte, b []byte, ok bool) {
	if f.err != nil || f.n == 0 {
		return 0, nil, false
	}
	f.n--
	if code, f.err = f.r.byte(); f.err != nil || code == codeNull {
		return 0, nil, false
	}
	if code == codeDescribed {
		f.err = fmt.Errorf("a described value in place of a plain one")
		return 0, nil, false
	}
	b, f.err = f.r.payload(code)
	return code, b, f.err == nil
}

func (f *fields) uint(def uint32) uint32 {
	code, b, ok := f.next()
	if !ok {
		return def
	}
	switch code {
	case codeUint0:
		return 0
	case codeSmallUint:
		return uint32(b[0])
	case codeUint:
		return binary.BigEndian.Uint32(b)
	}
	f.wrong(code, "uint")
	return def
}

// has reports whether the next field is present, without reading it.
func (f *fields) has() bool {
	return f.err == nil && f.n > 0 && len(f.r.buf) > 0 && f.r.buf[0] != codeNull
}

func (f *fields) ulong(def uint64) uint64 {
	code, b, ok := f.next()
	if !ok {
		return def
	}
	switch code {
	case codeUlong0:
		return 0
	case codeSmallUlong:
		return uint64(b[0])
	case codeUlong:
		return binary.BigEndian.Uint64(b)
	}
	f.wrong(code, "ulong")
	return def
}

func (f *fields) ushort(def uint16) uint16 {
	code, b, ok := f.next()
	if !ok {
		return def
	}
	if code != codeUshort {
		f.wrong(code, "ushort")
		return def
	}
	return binary.BigEndian.Uint16(b)
}

func (f *fields) ubyte(def byte) byte {
	code, b, ok := f.next()
	if !ok {
		return def
	}
	if code != codeUbyte {
		f.wrong(code, "ubyte")
		return def
	}
	return b[0]
}

// bool reads a boolean, whose default is false wherever one occurs.
func (f *fields) bool() bool {
	code, b, ok := f.next()
	if !ok {
		return false
	}
	switch code {
	case codeTrue:
		return true
	case codeFalse:
		return false
	case codeBool:
		return b[0] == 1
	}
	f.wrong(code, "boolean")
	return false
}

// bytes reads binary, a string or a symbol. The result points into the buffer.
func (f *fields) bytes() []byte {
	code, b, ok := f.next()
	if !ok {
		return nil
	}
	switch code {
	case codeBin8, codeBin32, codeStr8, codeStr32, codeSym8, codeSym32:
		return b
	}
	f.wrong(code, "binary, string or symbol")
	return nil
}

func (f *fields) string() string {
	b := f.bytes()
	if f.err == nil && !utf8.Valid(b) {
		f.err = errNotUTF8
	}
	return string(b)
}

// any reads a field of any type.
func (f *fields) any() any {
	if f.err != nil || f.n == 0 {
		return nil
	}
	f.n--
	var v any
	v, f.err = f.r.valueAt(1)
	return v
}

func (f *fields) wrong(code byte, want string) {
	f.err = fmt.Errorf("format code 0x%02x in place of %s", code, want)
}

func (f *fields) skip(n int) {
	for ; n > 0 && f.err == nil && f.n > 0; n-- {
		f.n--
		f.err = f.r.skip(1)
	}
}

type openFrame struct {
	containerID  string
	hostname     string
	maxFrameSize uint32
	channelMax   uint16
	idleTimeout  uint32 // milliseconds; 0: none
	properties   any
}

func (o *openFrame) decode(f fields) error {
	o.containerID = f.string()
	o.hostname = f.string()
	o.maxFrameSize = f.uint(1<<32 - 1)
	o.channelMax = f.ushort(1<<16 - 1)
	o.idleTimeout = f.uint(0)
	f.skip(4) // locales and capabilities
	o.properties = f.any()
	return f.err
}

type beginFrameBody struct {
	nextOutgoingID uint32
	incomingWindow uint32
	handleMax      uint32
}

func (p *beginFrameBody) decode(f fields) error {
	f.skip(1) // remote-channel: set in answers only
	p.nextOutgoingID = f.uint(0)
	p.incomingWindow = f.uint(0)
	f.uint(0) // outgoing-window
	p.handleMax = f.uint(1<<32 - 1)
	return f.err
}

type attachFrame struct {
	name                 string
	handle               uint32
	peerReceives         bool
	sndSettle, rcvSettle byte
	source, target       any
	initialDeliveryCount uint32
	maxMessageSize       uint64
	desired              any
	properties           any
}

func (p *attachFrame) decode(f fields) error {
	p.name = f.string()
	p.handle = f.uint(0)
	p.peerReceives = f.bool()
	p.sndSettle = f.ubyte(2)
	p.rcvSettle = f.ubyte(0)
	p.source = f.any()
	p.target = f.any()
	f.skip(2) // unsettled, incomplete-unsettled: links are not resumed
	p.initialDeliveryCount = f.uint(0)
	p.maxMessageSize = f.ulong(0)
	f.skip(1) // offered-capabilities
	p.desired = f.any()
	p.properties = f.any()
	if f.err == nil && (p.sndSettle > 2 || p.rcvSettle > 1) {
		return fmt.Errorf("settle modes %d and %d", p.sndSettle, p.rcvSettle)
	}
	return f.err
}

type flowFrame struct {
	hasNextIncomingID bool
	nextIncomingID    uint32
	incomingWindow    uint32
	nextOutgoingID    uint32
	hasHandle         bool
	handle            uint32
	hasDeliveryCount  bool
	deliveryCount     uint32
	linkCredit        uint32
	drain, echo       bool
}

func (p *flowFrame) decode(f fields) error {
	p.hasNextIncomingID = f.has()
	p.nextIncomingID = f.uint(0)
	p.incomingWindow = f.uint(0)
	p.nextOutgoingID = f.uint(0)
	f.uint(0) // outgoing-window
	p.hasHandle = f.has()
	p.handle = f.uint(0)
	p.hasDeliveryCount = f.has()
	p.deliveryCount = f.uint(0)
	p.linkCredit = f.uint(0)
	f.uint(0) // available
	p.drain = f.bool()
	p.echo = f.bool()
	return f.err
}

type transferFrame struct {
	handle        uint32
	hasDeliveryID bool
	deliveryID    uint32
	messageFormat uint32
	settled       bool
	more          bool
	aborted       bool
}

func (p *transferFrame) decode(f fields) error {
	p.handle = f.uint(0)
	p.hasDeliveryID = f.has()
	p.deliveryID = f.uint(0)
	f.bytes() // delivery-tag
	p.messageFormat = f.uint(0)
	p.settled = f.bool()
	p.more = f.bool()
	f.ubyte(0) // rcv-settle-mode
	f.any()    // state: a sending peer has none
	f.bool()
	p.aborted = f.bool()
	return f.err
}

type dispositionFrame struct {
	peerReceives bool
	first, last  uint32
	settled      bool
	state        any
}

func (p *dispositionFrame) decode(f fields) error {
	p.peerReceives = f.bool()
	p.first = f.uint(0)
	p.last = f.uint(p.first)
	p.settled = f.bool()
	p.state = f.any()
	return f.err
}

type detachFrame struct {
	handle uint32
	closed bool
	err    *Error
}

func (p *detachFrame) decode(f fields) error {
	p.handle = f.uint(0)
	p.closed = f.bool()
	p.err = asError(f.any())
	return f.err
}

// asError returns the error in the error field of a detach, end or close, or nil.
func asError(v any) *Error {
	d, ok := v.(Described)
	if !ok {
		return nil
	}
	list, _ := d.Value.([]any)
	e := &Error{}
	if len(list) > 0 {
		c, _ := list[0].(Symbol)
		e.Condition = string(c)
	}
	if len(list) > 1 {
		e.Description, _ = list[1].(string)
	}
	return e
}

// fieldCount is the number of fields of each type. The server writes them all, because Python's client reads fields by
// index (azure-eventhub, _pyamqp), although the specification lets trailing nulls be left out.
var fieldCount = [256]int{
	descOpen: 10, descBegin: 8, descAttach: 14, descFlow: 11, descTransfer: transferFields, descDisposition: 6,
	descDetach: 3, descEnd: 1, descClose: 1,
	descError: 3,
}

const (
	transferFields = 11
	afterMore      = 5 // fields after more
)

// appendList appends a described list. body appends its first n fields; the others are null.
func appendList(b []byte, descriptor byte, n int, body func([]byte) []byte) []byte {
	b = append(b, codeDescribed, codeSmallUlong, descriptor)
	all := max(n, fieldCount[descriptor])
	b, _ = sized(b, codeList32, all, func(b []byte) ([]byte, error) { return appendNulls(body(b), all-n), nil })
	return b
}

func appendNulls(b []byte, n int) []byte {
	for range n {
		b = append(b, codeNull)
	}
	return b
}
