package blob

// Underway counts bytes as those of a body on its way, until done is called.
func (a *Account) Underway(n int64) (done func()) {
	done, _ = a.begin(n)
	return done
}

const MaxUnderway = maxUnderway
