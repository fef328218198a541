package dataset

import "strings"

// Objects of the datasets bucket. The bucket is a DVC remote: every file of a
// version is an object under files/md5, and so is the version's listing (.dir).
const (
	HeadObject    = "head.json" // what the next version builds on; see package intake
	CurrentObject = "current"   // names the newest version that passed validation
)

// Files of a version, under versions/ID/.
const (
	SummaryFile      = "dataset.json" // Version; written last
	PhotosFile       = "photos.jsonl" // Photo, one a line, in Path order
	MeasuredFile     = "measured.jsonl"
	DataYAMLFile     = "data.yaml"
	DVCFile          = "dataset.dvc"
	ValidationFile   = "validation.json"
	ReportFile       = "report.html"
	ApprovalFile     = "approval.json"
	versionsPrefix   = "versions/"
	batchesPrefix    = "batches/"
	statusFile       = "status.json"
	labelRecordsPart = "labels/"
	batchRecordsPart = "records/"
	unpackedPart     = "unpacked/"
)

// ContentObject is the object that holds the bytes with this MD5 (lower-case
// hex), as DVC lays out a remote.
func ContentObject(md5 string) string { return "files/md5/" + md5[:2] + "/" + md5[2:] }

// VersionObject is the object of a version's file.
func VersionObject(id, file string) string { return versionsPrefix + id + "/" + file }

// VersionOf returns the version whose file an object is; ok is false for any
// other object.
func VersionOf(object, file string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(object, versionsPrefix)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, "/"+file)
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// StatusObject is the object of a batch's status document.
func StatusObject(batch string) string { return batchesPrefix + batch + "/" + statusFile }

// LabelRecordObject is the object of a batch's parsed labels, by the MD5 of the
// labels as they were dropped.
func LabelRecordObject(batch, md5 string) string {
	return batchesPrefix + batch + "/" + labelRecordsPart + md5 + ".json"
}

// BatchRecordObject is the object of a batch's converted content, by its hash.
func BatchRecordObject(batch, hash string) string {
	return batchesPrefix + batch + "/" + batchRecordsPart + hash + ".json"
}

// UnpackedObject is an object of what an archive of a batch was unpacked to: a
// file under the archive's key.
func UnpackedObject(batch, key, file string) string {
	return batchesPrefix + batch + "/" + unpackedPart + key + "/" + file
}

// RejectedObject is the object of the incoming bucket that tells whoever
// dropped a batch what was refused of it.
func RejectedObject(batch string) string { return RejectedPrefix + batch + ".json" }

// RejectedPrefix holds such objects; no batch can have its name.
const RejectedPrefix = "rejected/"
