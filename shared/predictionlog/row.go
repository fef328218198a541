// Package predictionlog is the detector's log: one row a photo with its boxes,
// in Parquet files under log/dt=YYYY-MM-DD/hr=HH/INSTANCE-SEQ.parquet of the
// predictions bucket. A model package's reference.parquet holds the same rows
// for its validation split, so that drift compares like with like.
package predictionlog

// Box is one detection in pixels of the displayed photo.
type Box struct {
	ClassID    int32   `parquet:"class_id"`
	Class      string  `parquet:"class,dict"`
	Confidence float32 `parquet:"confidence"`
	X1         float32 `parquet:"x1"`
	Y1         float32 `parquet:"y1"`
	X2         float32 `parquet:"x2"`
	Y2         float32 `parquet:"y2"`
}

// Row is one answered photo.
type Row struct {
	ID           string  `parquet:"id"`
	TimeMicros   int64   `parquet:"time_us,timestamp(microsecond)"` // UTC
	Model        string  `parquet:"model,dict"`
	ModelVersion string  `parquet:"model_version,dict"`
	Dataset      string  `parquet:"dataset,dict"`  // the version the model was trained on
	Revision     string  `parquet:"revision,dict"` // serving revision
	TraceID      string  `parquet:"trace_id"`
	Photo        string  `parquet:"photo"` // object name of the sampled photo; empty when not kept
	Width        int32   `parquet:"width"`
	Height       int32   `parquet:"height"`
	Bytes        int64   `parquet:"bytes"`
	Brightness   float32 `parquet:"brightness"` // mean luma, 0-255
	Contrast     float32 `parquet:"contrast"`   // standard deviation of luma
	Sharpness    float32 `parquet:"sharpness"`  // variance of the Laplacian of luma at the model's size
	Boxes        []Box   `parquet:"boxes,list"`
}
