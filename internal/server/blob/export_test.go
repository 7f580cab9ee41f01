package blob

// Underway counts n bytes as those of a body in flight, until done is called.
func (a *Account) Underway(n int64) (done func()) {
	done, _ = a.begin(n)
	return done
}

const MaxUnderway = maxUnderway
