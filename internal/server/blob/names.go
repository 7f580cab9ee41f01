package blob

import (
	"strings"
	"time"
	"unicode/utf8"
)

const maxBlobName = 1024 // characters

func lowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func validAccount(name string) bool {
	for i := range len(name) {
		if !lowerAlnum(name[i]) {
			return false
		}
	}
	return 3 <= len(name) && len(name) <= 24
}

// validContainerName checks Azure's rule: 3 to 63 lower-case letters, digits
// and hyphens; a letter or digit first, last, and on both sides of each hyphen.
func validContainerName(name string) *failure {
	for i := range len(name) {
		if !lowerAlnum(name[i]) && name[i] != '-' {
			return failed(codeInvalidResourceName)
		}
	}
	if len(name) < 3 || len(name) > 63 {
		return failed(codeOutOfRangeInput).because("a container's name has 3 to 63 characters")
	}
	if name[0] == '-' || name[len(name)-1] == '-' || strings.Contains(name, "--") {
		return failed(codeInvalidResourceName)
	}
	return nil
}

// validBlobName checks Azure's rule: 1 to 1,024 characters, any of them.
func validBlobName(name string) *failure {
	if !utf8.ValidString(name) {
		return failed(codeInvalidURI).because("a blob's name is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(name); n < 1 || n > maxBlobName {
		return failed(codeOutOfRangeInput).because("a blob's name has 1 to %d characters", maxBlobName)
	}
	return nil
}

// printable reports whether s can be in a header, and so in XML.
func printable(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\t' {
			return false
		}
	}
	return true
}

// validVersion reports whether v is a date, 2015-02-21 or later. Earlier
// versions sign requests differently.
func validVersion(v string) bool {
	_, err := time.Parse(time.DateOnly, v)
	return err == nil && v >= "2015-02-21"
}
