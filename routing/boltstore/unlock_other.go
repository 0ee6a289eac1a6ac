//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package boltstore

import "os"

// unlock does nothing: here the lock goes with the file.
func unlock(*os.File) error { return nil }
