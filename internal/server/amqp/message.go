package amqp

import (
	"fmt"
	"unicode/utf8"
)

// Descriptors of a message's sections, part 3 of the specification, in the specification's order.
const (
	SectionHeader                = 0x70
	SectionDeliveryAnnotations   = 0x71
	SectionMessageAnnotations    = 0x72
	SectionProperties            = 0x73
	SectionApplicationProperties = 0x74
	SectionData                  = 0x75
	SectionSequence              = 0x76
	SectionValue                 = 0x77
	SectionFooter                = 0x78
)

// Section is one section of an encoded message. Both slices point into the message.
type Section struct {
	Kind  byte
	Value []byte // the encoded value
	Whole []byte // the same with the descriptor before it
}

// Sections walks through an encoded message. It checks that sections come in order and that each holds one well-formed
// value. The order is that of the specification, with two exceptions that SDKs write and the service accepts: the
// footer may come before the body (rhea, message.js), and delivery annotations at the end (azure-eventhub,
// _pyamqp/_encode.py).
type Sections struct {
	r      reader
	last   byte
	body   byte // the kind of the body's sections; 0: none has come yet
	footed bool // a footer has come
	ended  bool // delivery annotations have come at the end
	err    error
}

// NewSections returns a walk through msg.
func NewSections(msg []byte) *Sections { return &Sections{r: reader{msg}} }

// Next returns the next section, and false at the end of the message or at an error.
func (s *Sections) Next() (Section, bool) {
	if s.err != nil || len(s.r.buf) == 0 {
		return Section{}, false
	}
	start := s.r.buf
	var sec Section
	if sec, s.err = s.r.section(); s.err != nil {
		return Section{}, false
	}
	if !s.take(sec.Kind) {
		s.err = fmt.Errorf("section 0x%02x after section 0x%02x", sec.Kind, s.last)
		return Section{}, false
	}
	sec.Whole = start[:len(start)-len(s.r.buf)]
	return sec, true
}

// Err returns why the walk ended early, or nil.
func (s *Sections) Err() error { return s.err }

// take records a section, and reports whether it may come here.
func (s *Sections) take(kind byte) bool {
	switch {
	case s.ended:
		return false
	case isBody(kind) && kind == s.last: // a body may have several data or sequence sections
		return kind != SectionValue
	case isBody(kind):
		if s.body != 0 {
			return false
		}
		s.body = kind
	case kind == SectionFooter:
		if s.footed {
			return false
		}
		s.footed = true
	case kind == SectionDeliveryAnnotations && s.last > kind:
		s.ended = true
	case kind <= s.last:
		return false
	}
	s.last = kind
	return true
}

func isBody(kind byte) bool { return kind >= SectionData && kind <= SectionValue }

func (r *reader) section() (Section, error) {
	if code, err := r.byte(); err != nil || code != codeDescribed {
		return Section{}, fmt.Errorf("a message section must begin with a descriptor")
	}
	d, err := r.descriptor()
	if err != nil {
		return Section{}, err
	}
	if d < SectionHeader || d > SectionFooter {
		return Section{}, fmt.Errorf("descriptor 0x%x is not a message section's", d)
	}
	value := r.buf
	if len(value) > 0 && d == SectionData && (value[0] == codeBin8 || value[0] == codeBin32) { // the usual case
		r.buf = value[1:]
		_, err := r.payload(value[0])
		return Section{Kind: SectionData, Value: value[:len(value)-len(r.buf)]}, err
	}
	if len(value) > 0 && !sectionHolds(byte(d), value[0]) {
		return Section{}, fmt.Errorf("format code 0x%02x in section 0x%02x", value[0], d)
	}
	if err := r.skip(0); err != nil {
		return Section{}, err
	}
	return Section{Kind: byte(d), Value: value[:len(value)-len(r.buf)]}, nil
}

// sectionHolds reports whether a section may hold a value of a format code.
func sectionHolds(kind, code byte) bool {
	switch kind {
	case SectionHeader, SectionProperties, SectionSequence:
		return code == codeList0 || code == codeList8 || code == codeList32
	case SectionDeliveryAnnotations, SectionMessageAnnotations, SectionApplicationProperties, SectionFooter:
		return code == codeMap8 || code == codeMap32
	case SectionData: // rhea writes null for a body of null
		return code == codeBin8 || code == codeBin32 || code == codeNull
	}
	return true
}

// skip passes over one value and checks that it is well formed, without allocating.
func (r *reader) skip(depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	code, err := r.byte()
	if err != nil {
		return err
	}
	if code == codeDescribed {
		if err := r.skip(depth + 1); err != nil {
			return err
		}
		return r.skip(depth + 1)
	}
	b, err := r.payload(code)
	if err != nil {
		return err
	}
	return skipAs(code, b, depth)
}

// skipAs checks the payload of a format code as decodeAs does, without decoding it.
func skipAs(code byte, b []byte, depth int) error {
	switch code {
	case codeBool:
		_, err := decodeAs(code, b, depth)
		return err
	case codeStr8, codeStr32:
		if !utf8.Valid(b) {
			return errNotUTF8
		}
		return nil
	case codeList8, codeList32, codeMap8, codeMap32:
		return skipElements(code, b, depth)
	case codeArray8, codeArray32:
		return skipArray(code, b, depth)
	}
	if !known(code) {
		return fmt.Errorf("format code 0x%02x is unknown", code)
	}
	return nil
}

func skipArray(code byte, b []byte, depth int) error {
	n, r, err := count(code, b)
	if err != nil {
		return err
	}
	element, err := r.byte()
	if err != nil {
		return err
	}
	if element == codeDescribed {
		if err := r.skip(depth + 1); err != nil {
			return err
		}
		if element, err = r.byte(); err != nil {
			return err
		}
	}
	if depth >= maxDepth {
		return errDepth
	}
	if err := r.holds(n, element); err != nil {
		return err
	}
	for range n {
		p, err := r.payload(element)
		if err != nil {
			return err
		}
		if err := skipAs(element, p, depth+1); err != nil {
			return err
		}
	}
	return r.end()
}

func skipElements(code byte, b []byte, depth int) error {
	n, r, err := count(code, b)
	if err != nil {
		return err
	}
	if (code == codeMap8 || code == codeMap32) && n%2 != 0 {
		return fmt.Errorf("map has %d elements, an odd number", n)
	}
	for range n {
		if err := r.skip(depth + 1); err != nil {
			return err
		}
	}
	return r.end()
}

func known(code byte) bool {
	switch code {
	case codeNull, codeTrue, codeFalse, codeUint0, codeUlong0, codeList0, codeUbyte, codeByte,
		codeSmallUint, codeSmallUlong, codeSmallInt, codeSmallLong, codeBool, codeUshort, codeShort, codeUint, codeInt,
		codeFloat, codeChar, codeDecimal32, codeUlong, codeLong, codeDouble, codeTimestamp, codeDecimal64,
		codeDecimal128, codeUUID, codeBin8, codeBin32, codeStr8, codeStr32, codeSym8, codeSym32:
		return true
	}
	return false
}

// Binary returns the content of an encoded binary, such as a data section holds, without copying. Null counts as empty.
func Binary(value []byte) ([]byte, error) {
	r := reader{value}
	code, err := r.byte()
	if err != nil {
		return nil, err
	}
	if code != codeBin8 && code != codeBin32 && code != codeNull {
		return nil, fmt.Errorf("format code 0x%02x in place of binary", code)
	}
	return r.payload(code)
}

// AppendSection appends a section with any value to b.
func AppendSection(b []byte, kind byte, v any) ([]byte, error) {
	return Append(append(b, codeDescribed, codeSmallUlong, kind), v)
}

// Message is a decoded message: the parts that requests and their answers use.
type Message struct {
	MessageID, CorrelationID any
	ReplyTo                  string
	ApplicationProperties    Map
	Value                    any
}

// Fields of the properties section.
const (
	fieldMessageID     = 0
	fieldReplyTo       = 4
	fieldCorrelationID = 5
)

// DecodeMessage decodes a request.
func DecodeMessage(b []byte) (*Message, error) {
	m := &Message{}
	walk := NewSections(b)
	for {
		s, ok := walk.Next()
		if !ok {
			return m, walk.Err()
		}
		if s.Kind == SectionData {
			continue
		}
		v, err := Decode(s.Value)
		if err != nil {
			return nil, err
		}
		switch s.Kind {
		case SectionProperties:
			list, _ := v.([]any)
			field := func(i int) any {
				if i < len(list) {
					return list[i]
				}
				return nil
			}
			m.MessageID, m.CorrelationID = field(fieldMessageID), field(fieldCorrelationID)
			m.ReplyTo, _ = field(fieldReplyTo).(string)
		case SectionApplicationProperties:
			m.ApplicationProperties, _ = v.(Map)
		case SectionValue:
			m.Value = v
		}
	}
}

// Encode encodes an answer.
func (m *Message) Encode() ([]byte, error) {
	properties := make([]any, fieldCorrelationID+1)
	properties[fieldMessageID], properties[fieldCorrelationID] = m.MessageID, m.CorrelationID
	b, err := AppendSection(nil, SectionProperties, properties)
	if err != nil {
		return nil, err
	}
	if b, err = AppendSection(b, SectionApplicationProperties, m.ApplicationProperties); err != nil {
		return nil, err
	}
	return AppendSection(b, SectionValue, m.Value)
}
