// Package balance decides which consumer of a group reads which partition, and keeps the claims to them.
package balance
