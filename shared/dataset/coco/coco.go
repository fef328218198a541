// Package coco reads COCO detection labels as people really have them: one
// pass over the stream, memory for the boxes alone, NaN and Infinity literals
// (Python writes them), gaps in ids, ids as text, missing widths. It reports
// what is in the file and judges nothing.
package coco

import "math"

// ID is an image's, annotation's or category's id. Ids written as text that is
// no integer are a hash of it at the far end of the range.
type ID int64

// NoID stands for an id that is missing, null or not an id.
const NoID ID = math.MinInt64

// Image is a record of "images". Width and Height are 0 when not declared.
type Image struct {
	ID       ID
	FileName string
	Width    int
	Height   int
}

// Annotation is a record of "annotations". Box is left, top, width, height as
// written, possibly not finite; HasBox is false when there is no usable "bbox"
// and no polygon to take the extent of.
type Annotation struct {
	ID       ID
	Image    ID
	Category ID
	Box      [4]float64
	HasBox   bool
	Crowd    bool
}

// Category is a record of "categories".
type Category struct {
	ID   ID
	Name string
}

// File is what Read found, in the file's order.
type File struct {
	Images      []Image
	Annotations []Annotation
	Categories  []Category
}

// Limits bound what a file may ask of memory; zero means no limit.
type Limits struct {
	Images      int
	Annotations int
	Bytes       int64
}

// maxName bytes of a file or category name are kept, one more than an object's
// name may have, so that a longer one is seen to be too long.
const maxName = 1025

// maxID bytes of an id written as text; a longer one is no id.
const maxID = 256

// maxCategories of a file: far above what any detector tells apart.
const maxCategories = 100_000
