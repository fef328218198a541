package store

import "time"

// record is one entry of the journal: one change, whole. Fields are independent;
// a snapshot writes one fact a record.
type record struct {
	Bucket             *Bucket       `json:"bucket,omitempty"`
	DropBucket         string        `json:"drop_bucket,omitempty"`
	Object             *Object       `json:"object,omitempty"`
	Drop               *Object       `json:"drop,omitempty"` // the generation that went
	Notification       *Notification `json:"notification,omitempty"`
	DropNotification   *Notification `json:"drop_notification,omitempty"`
	Upload             string        `json:"upload,omitempty"`        // the session that made Object
	UploadObject       *Object       `json:"upload_object,omitempty"` // what it made, in a snapshot
	Events             []Event       `json:"events,omitempty"`
	Delivered          []int64       `json:"delivered,omitempty"`
	LastGeneration     int64         `json:"last_generation,omitempty"`
	LastEvent          int64         `json:"last_event,omitempty"`
	LastNotificationID int64         `json:"last_notification_id,omitempty"`
}

// Event is a change to be published. It is durable with the change itself and
// stays until Delivered; after a crash it may be published twice.
type Event struct {
	ID           int64         `json:"id"`
	Type         string        `json:"type"`
	At           time.Time     `json:"at"`
	Notification *Notification `json:"notification"`
	// Object is the generation the event is about, as it was then. In the
	// journal nil stands for the record's own.
	Object *Object `json:"object,omitempty"`
	// Overwrote is the generation that an OBJECT_FINALIZE replaced, or 0.
	Overwrote int64 `json:"overwrote,omitempty"`
	// OverwrittenBy is the generation that replaced a deleted one, or 0.
	OverwrittenBy int64 `json:"overwritten_by,omitempty"`
}

// The event types, as Cloud Storage names them.
const (
	Finalize       = "OBJECT_FINALIZE"
	MetadataUpdate = "OBJECT_METADATA_UPDATE"
	Delete         = "OBJECT_DELETE"
)
