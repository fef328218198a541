package main

import (
	"context"
	"os"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
)

type dataCmd struct {
	List      dataListCmd      `cmd:"" help:"List data set versions, and whether they passed."`
	Show      dataShowCmd      `cmd:"" help:"Show a version: counts, classes, findings, and where its report is."`
	Verify    dataVerifyCmd    `cmd:"" help:"Check every file of a version, in its bucket or in a directory."`
	Pull      dataPullCmd      `cmd:"" help:"Fetch a version into a directory, as trainers read it; goes on where it stopped."`
	Diff      dataDiffCmd      `cmd:"" help:"Show how two versions differ: photos, boxes, classes, sizes."`
	ExportDVC dataExportDVCCmd `cmd:"" name:"export-dvc" help:"Write a DVC repository whose pull fetches a version."`
	Convert   dataConvertCmd   `cmd:"" help:"Convert labels on disk (COCO, YOLO, archives) to a YOLO data set, without any cloud."`
	Sample    dataSampleCmd    `cmd:"" help:"Draw labelled photos to try things on."`
	Approve   dataApproveCmd   `cmd:"" help:"Let a version that did not pass be trained on; recorded with your name."`
}

// versionHelp is how commands let people name a version.
const versionHelp = "Its id, the beginning of it, or its number."

// datasets opens the bucket of data set versions; close ends the connection.
func (g *globals) datasets(ctx context.Context) (b blob.Bucket, close func() error, err error) {
	cl, err := g.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return cl.Bucket(cl.Datasets), cl.Close, nil
}

// storageEndpoint is the URL of the storage service when it is not Google's own:
// the variable that Google's clients go by, which a connection to the local
// cloud has set.
func storageEndpoint() string {
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if host != "" && !strings.Contains(host, "://") {
		host = "http://" + host
	}
	return strings.TrimSuffix(host, "/")
}
