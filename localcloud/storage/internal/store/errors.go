package store

import "errors"

// What a request can be refused for. None of them is worth repeating unchanged,
// but ErrUnavailable.
var (
	ErrNoBucket       = errors.New("the bucket does not exist")
	ErrNoObject       = errors.New("no such object")
	ErrNoNotification = errors.New("no such notification configuration")
	ErrBucketExists   = errors.New("the bucket exists already")
	ErrBucketNotEmpty = errors.New("the bucket is not empty")
	ErrPrecondition   = errors.New("a precondition does not hold")
	// ErrNotModified: an ...IfNotMatch condition names the live (meta)generation.
	ErrNotModified = errors.New("not modified")
	// ErrUnavailable: the disk refused the write (it may be full) or the store
	// is closed. Nothing was changed.
	ErrUnavailable = errors.New("storage is unavailable")
)
