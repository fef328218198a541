// Package dataset turns batches of labelled photos into versions: immutable,
// content-addressed, laid out as DVC's remote so that the stock client reads
// them, and split in a way that stays put as data grows.
package dataset

import "time"

// Box is a labelled object in pixels of the displayed photo (EXIF orientation
// applied): left, top, width, height, as COCO's bbox.
type Box struct {
	Class int     `json:"class"` // index into Version.Classes
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	W     float64 `json:"w"`
	H     float64 `json:"h"`
}

// Split names a part of a version.
type Split string

// The splits of a version. Val is the held-out split that gates compare on.
const (
	Train Split = "train"
	Val   Split = "val"
)

// Photo is one photo of a version.
type Photo struct {
	Path        string `json:"path"` // in the version: images/train/… ; its labels lie beside: labels/train/….txt
	MD5         string `json:"md5"`  // content address: datasets bucket files/md5/aa/rest
	Size        int64  `json:"size"`
	Width       int    `json:"width"` // displayed
	Height      int    `json:"height"`
	Orientation int    `json:"orientation,omitempty"` // EXIF 1-8; 0 none
	Split       Split  `json:"split"`
	Batch       string `json:"batch"`
	Boxes       []Box  `json:"boxes"`
}

// Counts of a version or of a split.
type Counts struct {
	Photos int `json:"photos"`
	Boxes  int `json:"boxes"`
}

// Version is the summary in versions/ID/dataset.json, written last of all the
// version's objects: where it exists the version is complete.
type Version struct {
	Schema   int              `json:"schema"`
	ID       string           `json:"id"`       // hash of the content
	Sequence int64            `json:"sequence"` // grows by one a version: newer is larger
	Created  time.Time        `json:"created"`
	Classes  []string         `json:"classes"`
	DirMD5   string           `json:"dir_md5"` // DVC's .dir object, without its suffix
	Bytes    int64            `json:"bytes"`
	Files    int              `json:"files"`
	Counts   Counts           `json:"counts"`
	Splits   map[Split]Counts `json:"splits"`
	PerClass []int            `json:"per_class"` // boxes of each class
	Batches  []string         `json:"batches"`
	Parent   string           `json:"parent,omitempty"` // the version before
	// ClassMaps are the class maps that were applied, by batch.
	ClassMaps map[string]*ClassMap `json:"class_maps,omitempty"`
}
